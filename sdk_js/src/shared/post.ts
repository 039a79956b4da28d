// How both sides speak to the server.

/** POST JSON as text/plain: a "simple" request, so the browser asks no preflight; keepalive outlives the page. */
export const post = (url: string, body: unknown): Promise<Response> =>
  fetch(url, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "Content-Type": "text/plain;charset=UTF-8" },
    credentials: "omit",
    keepalive: true,
  });

/** Where the server says what a page must know of the site. */
export const configUrl = (api: string, key: string): string => `${api}/v1/sdk/config?key=${encodeURIComponent(key)}`;

/** Whether the same request may succeed later: throttled, timed out, or trouble on the server's side. */
export const passing = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/** base64url → bytes, as pushManager wants an application server key. */
export function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
