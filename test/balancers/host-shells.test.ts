/** The scripts for hosts and servers are POSIX sh: what `sh` is there differs from one distribution to the next. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import * as health from '../../src/balancers/health-file-scripts.ts'
import { editsFor, membersOfFile } from '../../src/balancers/nginx-config.ts'
import { parseLook } from '../../src/balancers/nginx-look.ts'
import { lookScript, markScript } from '../../src/balancers/nginx-scripts.ts'
import { startNginx } from '../support/nginx.ts'

const flags = ['-eu', '-c']
const shells = [
  ['dash', flags],
  ['bash', flags],
  ['bash', ['--posix', ...flags]],
  ['busybox', ['sh', ...flags]],
] as const

it.each(shells)('the scripts of nginx and of the health file run in %s %j', async (shell, words) => {
  const run = (script: string) => execFileSync(shell, [...words, script], { encoding: 'utf8' })
  const nginx = await startNginx({
    members: [
      { name: 'web1', port: 1001 },
      { name: 'web2', port: 1002 },
    ],
  })
  try {
    // bytes that are no UTF-8, and no line end at the end
    const odd = Buffer.from(`${nginx.original}# \xe4\xff`, 'latin1')
    writeFileSync(nginx.file, odd)
    await nginx.reload()
    const look = parseLook(run(lookScript(nginx.file, null)))
    expect(Buffer.from(look.content, 'latin1')).toEqual(odd)
    expect([look.current.length, look.old.length]).toEqual([2, 0])
    const mark = (to: 'down' | 'up') => {
      const { content, master } = parseLook(run(lookScript(nginx.file, look.master)))
      expect(master).toBe(look.master)
      const edits = editsFor(content, membersOfFile(content).slice(0, 1), to)
      expect(edits).toHaveLength(1)
      run(markScript({ file: nginx.file, known: master, edits, reload: undefined }))
    }
    mark('down')
    expect(nginx.text()).toContain(':1001  weight=2 max_fails=0 "down"; # web1\n')
    mark('up')
    expect(readFileSync(nginx.file)).toEqual(odd)

    const file = `${nginx.file} of o'health`
    for (const down of ['absent', 'present'] as const) {
      if (down === 'absent') writeFileSync(file, 'well')
      const state = () => health.parseHealthFile(run(health.lookScript(file, down)))?.state
      expect(state()).toBe('up')
      run(health.downScript(file, down))
      expect(state()).toBe('ours')
      expect(run(health.upScript(file, down)).trim()).toBe('ours')
      expect(state()).toBe('up')
      expect(existsSync(file)).toBe(down === 'absent')
      rmSync(file, { force: true })
    }
  } finally {
    await nginx.stop()
  }
})
