/** Asks for the passphrase of a key, on the terminal and without showing it. */
import { isEncrypted, readPrivateKeys } from './fleet/private-keys.ts'
import { stderr } from './output.ts'

/** As often as ssh asks. */
const tries = 3

/** One line of the terminal, not shown; null: Ctrl-C, Ctrl-D or a signal. Prompts go to stderr, so that stdout may be piped. */
function hiddenLine(prompt: string, cancel: AbortSignal): Promise<string | null> {
  const { stdin } = process
  return new Promise(resolve => {
    let line = ''
    const done = (answer: string | null) => {
      stdin.off('data', onData).off('end', onEnd)
      cancel.removeEventListener('abort', onEnd)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
      resolve(answer)
    }
    const onEnd = () => done(null)
    const onData = (text: string) => {
      for (const character of text) {
        if (character === '\r' || character === '\n') return done(line)
        if (character === '\x03' || character === '\x04') return done(null)
        if (character === '\x15') line = ''
        else if (character === '\x7f' || character === '\b') line = [...line].slice(0, -1).join('')
        else line += character
      }
    }
    // Before the prompt: what is typed as soon as it is read is not shown either. It also takes away that Ctrl-C is a signal.
    stdin.setRawMode(true)
    stderr.write(prompt)
    cancel.addEventListener('abort', onEnd, { once: true })
    stdin.setEncoding('utf8').on('data', onData).once('end', onEnd)
    stdin.resume()
  })
}

/**
 * The passphrase of an encrypted key; null: the key has none, or there is no terminal to ask on. 'cancelled': the person did not want to.
 * A wrong one is handed back after three tries, for its error says what to do.
 */
export async function askPassphrase(key: string, cancel: AbortSignal): Promise<string | null | 'cancelled'> {
  if (!process.stdin.isTTY || !stderr.isTerminal() || !isEncrypted(key)) return null
  for (let attempt = 1; ; attempt++) {
    if (cancel.aborted) return 'cancelled'
    const prompt = attempt === 1 ? 'Passphrase of the SSH key: ' : 'That does not open it. Passphrase: '
    const answer = await hiddenLine(prompt, cancel)
    if (answer === null) return 'cancelled'
    if (attempt === tries || opens(key, answer)) return answer
  }
}

function opens(key: string, passphrase: string): boolean {
  try {
    readPrivateKeys(key, passphrase)
    return true
  } catch {
    return false
  }
}
