// What the server says about the site, fetched once a page.

import { HomingError } from "./errors";

export interface Texts {
  title: string;
  body: string;
  accept: string;
  decline: string;
}

export interface Config {
  site: string;
  vapid_public_key: string;
  prompt: Texts;
}

/** A rejection that carries the server's own code, if it gave one. */
export async function refusal(response: Response): Promise<HomingError> {
  const problem = await response.json().catch(() => ({}));
  const unknown = response.status === 401 || response.status === 404;
  const code = unknown ? "not_configured" : problem.code || "network";
  return new HomingError(code, problem.detail || `The server answered ${response.status}.`);
}

/** The function that gets the configuration; a failure is not remembered. */
export function configuration(api: string, key: string): () => Promise<Config> {
  let loading: Promise<Config> | undefined;
  const load = async (): Promise<Config> => {
    if (!key) throw new HomingError("not_configured", "The script tag has no data-site.");
    const response = await fetch(`${api}/v1/sdk/config?key=${encodeURIComponent(key)}`, { credentials: "omit" });
    if (!response.ok) throw await refusal(response);
    return response.json();
  };
  return () =>
    (loading ||= load().catch((error) => {
      loading = undefined;
      throw error instanceof HomingError ? error : new HomingError("network", String(error));
    }));
}
