import { afterAll, beforeAll } from 'vitest'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { keepsTheContract } from './contract.ts'
import { nginxSubject } from './nginx-fixture.ts'

let sshd: Sshd
beforeAll(async () => {
  sshd = await startSshd({ name: 'lb1' })
})
afterAll(() => sshd?.stop())

keepsTheContract('nginx over SSH', () => nginxSubject(sshd))
