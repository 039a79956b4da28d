-- One worker's exchange about one push service: what became of its messages since the last one, and how many more it
-- may post. KEYS: the state of the push service, of the site's lane to it, and the lane's counts of this minute; all of
-- one slot of a Redis Cluster. ARGV: the instant (seconds), the report and the limits (JSON; see exchange.py).
local now = tonumber(ARGV[1])
local report = cjson.decode(ARGV[2])
local limits = cjson.decode(ARGV[3])

local function load(key, names)
  local values, row = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do
    row[name] = tonumber(values[i] or '') or 0
  end
  return row
end

local function save(key, row)
  local flat = {}
  for name, value in pairs(row) do
    flat[#flat + 1] = name
    flat[#flat + 1] = string.format('%.6f', value)
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('EXPIRE', key, limits.kept)
end

local service = load(KEYS[1], {
  'in_a_row', 'since', 'alive', 'failed', 'openings', 'open_until', 'probe_until', 'budget', 'budget_at' })
local lane = load(KEYS[2], {
  'rate', 'cut_from', 'cut_at', 'grown_at', 'since', 'posted', 'refused', 'hold_until', 'tokens', 'tokens_at',
  'line_end', 'minute', 'minute_accepted', 'minute_refused', 'engagement_until' })

-- Instants that nobody could have written yet are of before the clock was set back, and would hold until they come again.
local function bound(row, ahead, names)
  for _, name in ipairs(names) do
    if row[name] > now + ahead + limits.skew then
      row[name] = now
    end
  end
end
bound(service, 0, { 'since', 'budget_at' })
bound(service, limits.longest_hold, { 'open_until' })
bound(service, limits.probe_for, { 'probe_until' })
bound(lane, 0, { 'since', 'cut_at', 'grown_at', 'tokens_at' })
bound(lane, limits.longest_hold, { 'hold_until' })
bound(lane, limits.engagement_line, { 'line_end' })
bound(lane, limits.engagement_for, { 'engagement_until' })

-- The circuit breaker of the push service. Any answer but 5xx shows that it is alive.
local function open()
  service.openings = service.openings + 1
  service.open_until = now + math.min(limits.first_open * 2 ^ (service.openings - 1), limits.longest_open)
  service.probe_until = 0
end

local alive = report.accepted + report.throttled + report.refused
if now - service.since > limits.window then
  service.since, service.alive, service.failed = now, 0, 0
end
service.alive, service.failed = service.alive + alive, service.failed + report.failed
service.in_a_row = alive > 0 and 0 or service.in_a_row + report.failed
if service.openings > 0 then
  if report.probe == 'passed' then
    service.openings, service.open_until, service.in_a_row, service.alive, service.failed = 0, 0, 0, 0, 0
  elseif report.probe == 'failed' then
    open()
  end
elseif service.in_a_row >= limits.failures_in_a_row
    or (service.failed >= limits.failures_of_window and service.failed >= service.alive) then
  open()
end
if report.hold_service > 0 then
  service.openings = math.max(service.openings, 1)
  service.open_until = math.max(service.open_until, now + math.min(report.hold_service, limits.longest_hold))
end

-- The lane's rate: halved once a second at most while refusals are many, else grown by a constant step.
if now - lane.since > limits.window then
  lane.since, lane.posted, lane.refused = now, 0, 0
end
local refused = report.throttled + report.busy
lane.posted, lane.refused = lane.posted + report.posted, lane.refused + refused
local many = refused > 0 and lane.refused >= limits.refusals
  and lane.refused >= limits.refused_share * math.max(lane.posted, lane.refused)
if many and now - lane.cut_at >= 1 then
  lane.cut_from = lane.rate > 0 and lane.rate or lane.posted / math.max(1, now - lane.since)
  lane.rate, lane.cut_at, lane.grown_at = math.max(lane.cut_from / 2, limits.least_rate), now, now
elseif lane.rate > 0 and refused == 0 then
  lane.rate = lane.rate + lane.cut_from / limits.regain * math.max(0, now - lane.grown_at)
  lane.grown_at = now
  if lane.rate > limits.free_at * lane.cut_from then
    lane.rate = 0
  end
end
if many and report.hold_lane > 0 then
  lane.hold_until = math.max(lane.hold_until, now + math.min(report.hold_lane, limits.longest_hold))
end

-- The limit of a push service on sites whose messages few people care for.
local minute = math.floor(now / 60)
if lane.minute ~= minute then
  lane.minute, lane.minute_accepted, lane.minute_refused = minute, 0, 0
end
lane.minute_accepted = lane.minute_accepted + report.accepted
lane.minute_refused = lane.minute_refused + report.throttled
if many and report.judges_engagement and report.throttled > 0
    and lane.minute_refused >= limits.engagement_refusals
    and lane.minute_accepted <= limits.engagement_accepted then
  lane.engagement_until = now + limits.engagement_for
end
local engagement = now < lane.engagement_until
if engagement and (lane.rate == 0 or lane.rate > limits.engagement_rate) then
  lane.rate, lane.cut_from = limits.engagement_rate, limits.engagement_rate
end

-- The budget of retries: fresh messages earn it, and what is accepted in the end gives back what it took.
local earned = limits.retry_rate * math.max(0, now - service.budget_at)
service.budget = math.min(limits.retry_burst, service.budget + earned + limits.retry_share * report.fresh
  + report.repaid + report.unused_retries)
service.budget_at = now

-- What may be posted now, and where the rest stands in line.
local told = { state = 'closed', probe = false, granted = 0, retries = 0, from = now, step = 0 }
local tokens_over = lane.tokens + report.unused + lane.rate * math.max(0, now - lane.tokens_at)
lane.tokens, lane.tokens_at = math.min(math.max(lane.rate, 1), tokens_over), now
if service.openings > 0 then
  told.state = now < service.open_until and 'open' or 'half_open'
  told.from = math.max(service.open_until, now + limits.probe_wait)
  told.step = 1 / limits.free_line
  if told.state == 'half_open' and report.wanted > 0 and now >= service.probe_until then
    service.probe_until = now + limits.probe_for
    told.probe, told.granted, told.retries = true, 1, 1
  end
elseif now < lane.hold_until then
  told.from, told.step = lane.hold_until, 1 / limits.free_line
else
  told.granted = report.wanted
  if lane.rate > 0 then
    told.granted = math.min(report.wanted, math.floor(lane.tokens))
    lane.tokens = lane.tokens - told.granted
  end
  told.retries = math.min(report.wanted_retries, math.floor(service.budget))
  service.budget = service.budget - told.retries
end
if lane.rate > 0 and report.wanted > told.granted and told.state == 'closed' then
  local horizon = now + (engagement and limits.engagement_line or limits.line)
  local behind = math.max(now, told.from, lane.line_end - report.unused_places / lane.rate)
  told.step = 1 / lane.rate
  if behind + report.wanted * told.step > horizon then
    behind = now + (horizon - now) / 2
    told.step = (horizon - behind) / report.wanted
  end
  told.from, lane.line_end = behind, behind + report.wanted * told.step
end
told.limited, told.engagement, told.rate = lane.rate > 0, engagement, lane.rate
save(KEYS[1], service)
save(KEYS[2], lane)
for name, count in pairs(report.counts) do
  redis.call('HINCRBY', KEYS[3], name, count)
end
redis.call('EXPIRE', KEYS[3], limits.counts_kept)
told.rate = string.format('%.3f', told.rate)
told.from = string.format('%.6f', told.from)
told.step = string.format('%.9f', told.step)
return cjson.encode(told)
