/** What every provider of a cloud is given. */
import type { Server } from '../manifest/manifest.ts'

export interface CloudDeps {
  /** Servers of the manifest; a receipt names one of them. */
  readonly servers: readonly Server[]
  /** Fills the look-ups of a text in for one server. */
  readonly resolve: (text: string, server: Server) => string
  /** Holds the token, by the vendor's usual name. */
  readonly runnerEnv: Readonly<Record<string, string>>
}
