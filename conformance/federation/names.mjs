// federation/names.mjs: the names of the providers of misbehaving.mjs, a line each, for the registry.

import { ALL } from "./misbehaving.mjs";

console.log(ALL.join("\n"));
