/** Whether what is written is coloured and has a progress line, by where it goes and what its reader asked for. Pure. */

export interface Looks {
  readonly colour: boolean
  readonly progress: boolean
}

const isSet = (value: string | undefined) => value !== undefined && value !== ''
const isOff = (value: string | undefined) => value === '0' || value?.toLowerCase() === 'false'

/**
 * On a terminal both; elsewhere neither. `NO_COLOR` (no-color.org) takes colours away, `FORCE_COLOR` gives them, and is the stronger, as
 * in Node itself. A terminal that calls itself dumb moves no cursor, and a CI service that lends one keeps what is written.
 */
export function looksOf(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): Looks {
  const { NO_COLOR, FORCE_COLOR, TERM, CI } = env
  const able = isTerminal && isSet(TERM) && TERM !== 'dumb'
  return {
    colour: isSet(FORCE_COLOR) ? !isOff(FORCE_COLOR) : able && !isSet(NO_COLOR),
    progress: able && (!isSet(CI) || isOff(CI)),
  }
}
