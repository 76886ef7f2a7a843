import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { editsFor, type LineEdit, membersOfFile, type NginxMember } from '../../src/balancers/nginx-config.ts'
import { type Look, loadedBy, parseLook } from '../../src/balancers/nginx-look.ts'
import { membersOf } from '../../src/balancers/nginx-members.ts'
import { rotationOfLine } from '../../src/balancers/nginx-rotation.ts'
import { keepAliveWarning } from '../../src/balancers/nginx-warnings.ts'
import { server } from './fixtures.ts'

const file = `# server 10.0.0.9:80; is not there any more
upstream app {
    least_conn;
    server 10.0.0.1:3000 weight=5 max_fails=2; # web1 down?
    server 10.0.0.2:3000 down;# web2
	server  "web3.internal:3000"
        weight=2 ;
    server 10.0.0.4 "down";
    server unix:/run/app.sock backup; server 10.0.0.5:3000; keepalive 16;
}
upstream api { server 10.0.0.1:3000; }
server { listen 80; server_name a; location / { proxy_pass http://app; return 200 "server 1.1.1.1;"; } }
`
const apply = (text: string, edits: readonly LineEdit[]) =>
  text
    .split('\n')
    .map(line => edits.find(e => e.from === line)?.to ?? line)
    .join('\n')
const change = (text: string, which: (m: NginxMember) => boolean, to: 'down' | 'up') =>
  apply(text, editsFor(text, membersOfFile(text).filter(which), to))

describe('the file of an upstream', () => {
  it('has its members told from comments, virtual servers and texts', () => {
    expect(membersOfFile(file).map(m => [m.upstream, m.address, m.down])).toEqual([
      ['app', '10.0.0.1:3000', 'no'],
      ['app', '10.0.0.2:3000', 'operator'],
      ['app', 'web3.internal:3000', 'no'],
      ['app', '10.0.0.4', 'ours'],
      ['app', 'unix:/run/app.sock', 'no'],
      ['app', '10.0.0.5:3000', 'no'],
      ['api', '10.0.0.1:3000', 'no'],
    ])
    expect(membersOfFile('server 10.0.0.1;\n').map(m => m.upstream)).toEqual([null])
  })

  it('has its mark behind the last word: weight, comments and the line of another stay', () => {
    const after = change(file, m => /0\.1:|web3|0\.5/.test(m.address), 'down')
    expect(after).toContain('server 10.0.0.1:3000 weight=5 max_fails=2 "down"; # web1 down?\n')
    expect(after).toContain('\tserver  "web3.internal:3000"\n        weight=2 "down" ;\n')
    expect(after).toContain('server unix:/run/app.sock backup; server 10.0.0.5:3000 "down"; keepalive 16;\n')
    expect(after).toContain('upstream api { server 10.0.0.1:3000 "down"; }\n')
  })

  it('keeps what an operator wrote: his down is never taken away, and never doubled', () => {
    expect(change(file, m => m.address.startsWith('10.0.0.2'), 'down')).toBe(file)
    expect(change(file, m => m.address.startsWith('10.0.0.2'), 'up')).toBe(file)
    expect(change(file, () => true, 'up')).toBe(file.replace(' "down"', ''))
  })

  it('is refused where a line could be that of another server too', () => {
    const twice = 'server\n  10.0.0.1:80\n  weight=2;\nserver\n  10.0.0.2:80\n  weight=2;\n'
    expect(() => change(twice, m => m.address.includes('0.1'), 'down')).toThrow(/more than once/)
  })

  it.each([['upstream a {'], ['}'], ['server 10.0.0.1'], ['server "10.0.0.1;']])(
    'is refused where nginx would: %s',
    text => {
      expect(() => membersOfFile(text)).toThrow(SyntaxError)
    },
  )

  it('is as it was, byte by byte, when what was marked is put back', () => {
    const space = fc.constantFrom(' ', '  ', '\t', '\n  ')
    const line = fc.record({
      indent: fc.constantFrom('', ' ', '\t'),
      octet: fc.integer({ min: 1, max: 9 }),
      port: fc.constantFrom('', ':80', ':3000'),
      parameters: fc.array(fc.constantFrom('weight=2', 'max_fails=0', 'backup', 'down', '"weight=3"'), {
        maxLength: 3,
      }),
      space,
      before: fc.constantFrom('', ' ', '  '),
      after: fc.constantFrom('', ' # down', '# "down";', '\r', ' # \xe4'),
    })
    const files = fc.tuple(fc.array(line, { maxLength: 8 }), fc.boolean(), fc.constantFrom('', '\n'))
    fc.assert(
      fc.property(files, fc.array(fc.integer({ min: 1, max: 9 })), ([lines, wrapped, end], chosen) => {
        const body = lines
          .map(
            l =>
              `${l.indent}server${l.space}10.0.0.${l.octet}${l.port}${l.parameters.map(p => l.space + p).join('')}${l.before};${l.after}`,
          )
          .join('\n')
        const text = wrapped ? `upstream a {\n${body}\n}${end}` : `${body}${end}`
        const which = (m: NginxMember) => chosen.some(n => m.address.startsWith(`10.0.0.${n}`))
        let marked: string
        try {
          marked = change(text, which, 'down')
        } catch (error) {
          expect(String(error)).toContain('more than once')
          return
        }
        const [before, after] = [membersOfFile(text), membersOfFile(marked)]
        expect(after.map(m => m.address)).toEqual(before.map(m => m.address))
        for (const [i, m] of before.entries())
          expect(after[i]?.down).toBe(m.down === 'no' && which(m) ? 'ours' : m.down)
        expect(change(marked, which, 'up')).toBe(text)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a server of the manifest', () => {
  const all = membersOfFile(file)
  const found = (at: Parameters<typeof membersOf>[1], member?: string) => {
    const lines = membersOf(all, at, member)
    return typeof lines === 'string' ? lines : lines.map(m => `${m.upstream} ${m.address}`)
  }
  it('is found by its address in every upstream, by its name, and by what `member` says', () => {
    expect(found(server('web1', { host: '10.0.0.1' }))).toEqual(['app 10.0.0.1:3000', 'api 10.0.0.1:3000'])
    expect(found(server('web3.internal'))).toEqual(['app web3.internal:3000'])
    expect(found(server('x', { id: '10.0.0.2' }))).toEqual(['app 10.0.0.2:3000'])
    expect(found(server('x'), '10.0.0.4:80')).toEqual(['app 10.0.0.4'])
    expect(found(server('x'), 'unix:/run/app.sock')).toEqual(['app unix:/run/app.sock'])
    expect(found(server('x'), '10.0.0.2:3000, 10.0.0.4:80')).toEqual(['app 10.0.0.2:3000', 'app 10.0.0.4'])
  })
  it('that is not there is told with what is', () => {
    expect(found(server('web9', { host: '10.0.0.9' }))).toMatch(/web9 or 10.0.0.9; there are: 10.0.0.1:3000, /)
    expect(found(server('x', { host: '10.0.0.1' }), '10.0.0.1:80')).toMatch(/no member is called 10.0.0.1:80/)
    expect(found(server('x'), '')).toMatch(/empty/)
  })
  it('with several ports has to say which', () => {
    const two = membersOfFile('server 10.0.0.1:1; server 10.0.0.1:2; server [::1]:80;')
    expect(membersOf(two, server('x', { host: '10.0.0.1' }), undefined)).toMatch(/several members: 10.0.0.1:1, 10/)
    expect(membersOf(two, server('x', { host: '::1' }), undefined)).toHaveLength(1)
  })
})

describe('what nginx runs', () => {
  const look = (more: Partial<Look>): Look => ({
    master: '1:1',
    current: [{ key: '2:100', start: 100 }],
    old: [],
    version: '1.22.1',
    keepsIdle: false,
    changedAt: 500,
    content: 'new',
    bootAt: 0,
    inexact: 2,
    ...more,
  })
  it('is the file, for workers that were started after its last change', () => {
    expect(loadedBy(look({}), undefined)).toEqual(['new'])
  })
  it('is what is remembered of the same workers, for a file that changed since', () => {
    const remembered = { workers: new Set(['2:100']), content: 'old' }
    expect(loadedBy(look({ changedAt: 1500 }), remembered)).toEqual(['old'])
    const both = [
      { key: '2:100', start: 100 },
      { key: '3:200', start: 200 },
    ]
    expect(loadedBy(look({ changedAt: 1500, current: both }), remembered)).toEqual(['old', 'new'])
  })
  it('is not known for other workers, without workers, and where times cannot be told', () => {
    expect(loadedBy(look({ changedAt: 1500 }), undefined)).toBeNull()
    expect(loadedBy(look({ changedAt: 1500 }), { workers: new Set(['2:99']), content: 'old' })).toBeNull()
    expect(loadedBy(look({ current: [] }), undefined)).toBeNull()
    expect(loadedBy(look({ inexact: 3000 }), undefined)).toBeNull()
  })
  it('is refused where the answer is none', () => {
    expect(() => parseLook('')).toThrow(SyntaxError)
    expect(() => parseLook('master 1 2\nclock x y z\ncontent\n')).toThrow(SyntaxError)
  })
  it('is unknown for a line on the way, and known for one that is the same in both', () => {
    const versions = [
      'server 10.0.0.1:80; server 10.0.0.2:80 down;',
      'server 10.0.0.1:80 "down"; server 10.0.0.2:80 down;',
    ]
    const members = membersOfFile(versions[1] ?? '')
    const seen = { look: look({}), members, running: versions.map(membersOfFile) }
    const states = members.map(m => rotationOfLine('lb1:/f', seen, m, undefined).state)
    expect(states).toEqual(['unknown', 'out'])
  })
  it('counts old workers that may still hold a request, and no others', () => {
    const members = membersOfFile('server 10.0.0.1:80 "down";')
    const seen = { look: look({ old: [{ key: '9:50', start: 50 }] }), members, running: [members] }
    const [line] = members
    if (!line) throw new Error('no member')
    expect(rotationOfLine('lb1:/f', seen, line, undefined).state).toBe('draining')
    expect(rotationOfLine('lb1:/f', seen, line, 50).state).toBe('draining')
    expect(rotationOfLine('lb1:/f', seen, line, 49).state).toBe('out')
  })
})

describe('the warning about keep-alive connections', () => {
  it.each([
    ['1.22.1', false, /nginx 1.22.1 at lb1 .*from 1.27.4 on/],
    ['1.27.3', false, /from 1.27.4 on/],
    ['1.27.4', false, /set keepalive_min_timeout \(/],
    ['1.29.0', false, /set keepalive_min_timeout \(/],
    ['', false, /not known/],
  ])('comes for %s', (version, keepsIdle, text) => {
    expect(keepAliveWarning('edge', 'lb1', { version, keepsIdle }).join()).toMatch(text)
  })
  it('does not come where keepalive_min_timeout is set', () => {
    expect(keepAliveWarning('edge', 'lb1', { version: '1.27.4', keepsIdle: true })).toEqual([])
  })
})
