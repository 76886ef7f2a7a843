/** Debian's Caddy is 2.6; what Caddy counts since 2.11.2 is tested with a newer one. */
import { join } from 'node:path'
import { directoryOf, installTool } from './pip.mjs'

/** The program; it is there after `installNewerCaddy`. */
export const newerCaddy = join(directoryOf('caddy'), 'bin', 'caddy')

/** Throws with what pip said when it cannot be had. */
export const installNewerCaddy = () => installTool('caddy')
