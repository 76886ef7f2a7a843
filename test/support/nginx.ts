/** A real nginx on the loopback interface: several workers, one upstream whose `server` lines stand in an include file of their own. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { childrenOf, commandLines, end, isRunning, signal } from './processes.ts'
import { waitUntil } from './wait-until.ts'

export interface NginxOptions {
  readonly members: readonly { readonly name: string; readonly port: number }[]
  readonly workers?: number
  /** Further lines of `http`. */
  readonly extra?: readonly string[]
}

export interface Nginx {
  readonly port: number
  readonly pid: number
  /** The include file. */
  readonly file: string
  /** The main configuration. */
  readonly config: string
  /** As the include file was written at the start. */
  readonly original: string
  text(): string
  write(text: string): void
  /** As an operator reloads; resolves when only new workers take connections. */
  reload(): Promise<void>
  /** Workers that take connections, and those that are shutting down. */
  workers(): { readonly current: readonly number[]; readonly old: readonly number[] }
  errorLog(): string
  stop(): Promise<void>
}

const nginxPath = '/usr/sbin/nginx'

/** One line for each member, with what people write beside it. */
const upstreamOf = (members: NginxOptions['members']): string =>
  [
    '# written by hand; "down" in a comment says nothing',
    'upstream app {',
    ...members.map(m => `    server 127.0.0.1:${m.port}  weight=2 max_fails=0; # ${m.name}`),
    '    keepalive 16;',
    '}',
    '',
  ].join('\n')

/** Starts Debian's nginx. Throws with its log when it does not come up, and with what to install when it is missing. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  if (!existsSync(nginxPath)) throw new Error(`${nginxPath} is missing: apt-get install nginx-light`)
  const directory = mkdtempSync(join(tmpdir(), 'nginx-'))
  const [config, log, pidFile] = [join(directory, 'nginx.conf'), join(directory, 'error.log'), join(directory, 'pid')]
  const file = join(directory, 'upstream.d', 'app.conf')
  mkdirSync(join(directory, 'upstream.d'))
  const original = upstreamOf(options.members)
  writeFileSync(file, original, { mode: 0o640 })
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const errorLog = () => (existsSync(log) ? readFileSync(log, 'utf8') : '')

  const launch = async (attempt = 1): Promise<{ port: number; pid: number }> => {
    const port = await freePort()
    writeFileSync(
      config,
      [
        `pid ${pidFile};`,
        `error_log ${log};`,
        `worker_processes ${options.workers ?? 2};`,
        'events { worker_connections 512; }',
        'http {',
        '  access_log off;',
        ...temp.map(name => `  ${name}_temp_path ${join(directory, name)};`),
        `  include ${join(directory, 'upstream.d')}/*.conf;`,
        '  server {',
        `    listen 127.0.0.1:${port};`,
        '    location / {',
        '      proxy_http_version 1.1;',
        '      proxy_set_header Connection "";',
        '      proxy_next_upstream off;',
        '      proxy_pass http://app;',
        '    }',
        '  }',
        ...(options.extra ?? []),
        '}',
        '',
      ].join('\n'),
    )
    const child = spawn(nginxPath, ['-e', log, '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (data: Buffer) => {
      said += data.toString('utf8')
    })
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', resolve)
    })
    if (code === 0) return { port, pid: Number(readFileSync(pidFile, 'utf8')) }
    if (attempt < 3 && /in use/i.test(said)) return launch(attempt + 1)
    throw new Error(`nginx did not start: ${said}${errorLog()}`)
  }
  const { port, pid } = await launch().catch((error: unknown) => {
    rmSync(directory, { recursive: true, force: true })
    throw error
  })

  const workers = () => {
    const children = new Set(childrenOf(pid))
    const titles = commandLines().filter(c => children.has(c.pid) && c.args.startsWith('nginx: worker process'))
    const isOld = (title: string) => title.includes('is shutting down')
    return {
      current: titles.filter(t => !isOld(t.args)).map(t => t.pid),
      old: titles.filter(t => isOld(t.args)).map(t => t.pid),
    }
  }
  await waitUntil('the workers of nginx run', () => workers().current.length === (options.workers ?? 2))
  return {
    port,
    pid,
    file,
    config,
    original,
    text: () => readFileSync(file, 'utf8'),
    write: text => writeFileSync(file, text),
    reload: async () => {
      const before = new Set(workers().current)
      signal(pid, 'SIGHUP')
      await waitUntil(
        () => `nginx reloads: ${errorLog()}`,
        () => workers().current.length > 0 && workers().current.every(w => !before.has(w)),
      )
    },
    workers,
    errorLog,
    stop: async () => {
      await end([...childrenOf(pid), pid].filter(isRunning))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
