"""Forgetting a customer: every row of his goes, in every table there is, in one transaction.

What stays is the hash by which a message of his is known: a shop that sends an old message again, as queues and
imports do, would otherwise bring half of him back. The hash tells nothing of him, and no row leads from it to anybody.
A new message with his id makes a new customer without a past.
"""

from push_server.customers.changes import Kind, note
from push_server.customers.identity import COUNTED, Connection, tables_of_customers

# Bodies are found by his events and his orders: what of a message means neither is kept without its content anyway.
# What he told of somebody else's order stays part of that order.
_SEQS = """
select seq from event where kind_id = any(array(select id from term where site_id = %(site)s and what = 'event'))
                        and customer_id = %(id)s
union select seq from orders where site_id = %(site)s and customer_id = %(id)s
union select c.seq from order_change c join orders o using (site_id, order_id)
      where o.site_id = %(site)s and o.customer_id = %(id)s
"""
_ORDER_CHANGES = """
delete from order_change c where c.seq = any(%(seqs)s) and c.site_id = %(site)s and not exists (
    select 1 from orders o where o.site_id = c.site_id and o.order_id = c.order_id and o.customer_id <> %(id)s
)
"""
# Where the shop gave no message id, the key was drawn at random, and nobody can send it again. What is erased has an
# empty one, so that it is not taken for such when another customer goes whom the message was of as well.
_UNKNOWN_BODIES = """
delete from event_body
where seq = any(%(seqs)s) and site_id = %(site)s and message_id = replace(message_key::text, '-', '')
"""
_BODIES = """
update event_body set message_id = '', properties = '{}', context = null
where seq = any(%(seqs)s) and site_id = %(site)s
"""


def erase(conn: Connection, site_id: int, customer_id: int) -> None:
    """Erase him. The tables are read from the database's own catalogue, so that none can be forgotten.

    His memberships and what he is worth, which are counted, go with the note of it, within seconds. The
    caller holds the site's lock exclusively, so that nobody writes for him meanwhile.
    """
    him: dict[str, object] = {"site": site_id, "id": customer_id}
    him["seqs"] = [seq for (seq,) in conn.execute(_SEQS, him)]
    for statement in (_ORDER_CHANGES, _UNKNOWN_BODIES, _BODIES):
        conn.execute(statement, him)
    for table in tables_of_customers(conn):
        if table.name not in COUNTED:
            conn.execute(f"delete from {table.name} t where {table.where('id')}", him)  # noqa: S608
    conn.execute("delete from customer where site_id = %(site)s and id = %(id)s", him)
    note(conn, site_id, [(customer_id, Kind.EVERYTHING)])
