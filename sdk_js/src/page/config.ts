// What the server says about the site, fetched once a page.

import { configUrl } from "../shared/post";
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

/** Gets the configuration, once a page; `anew` asks the server, past every cache. */
export type Configuration = (anew?: boolean) => Promise<Config>;

/** The function that gets it; a failure is not remembered. */
export function configuration(api: string, key: string): Configuration {
  let loading: Promise<Config> | undefined;
  const load = async (cache: RequestCache): Promise<Config> => {
    if (!key) throw new HomingError("not_configured", "The script tag has no data-site.");
    const response = await fetch(configUrl(api, key), { credentials: "omit", cache });
    if (!response.ok) throw await refusal(response);
    return response.json();
  };
  return (anew) => {
    if (loading && !anew) return loading;
    return (loading = load(anew ? "no-cache" : "default").catch((error) => {
      loading = undefined;
      throw error instanceof HomingError ? error : new HomingError("network", String(error));
    }));
  };
}
