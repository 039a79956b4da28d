// Entry of /sw.js, which the shop's own worker imports.

import { install } from "./worker";

install(self as unknown as ServiceWorkerGlobalScope);
