import { arnOf, awsSite, awsSubject, ids } from './aws-fixture.ts'
import { keepsTheContract } from './contract.ts'
import { server } from './fixtures.ts'

const strangers = {
  unknown: [server('web8'), server('web9', { id: 'web9.internal' })],
  ambiguous: [server('one', { id: ids[0] }), server('other', { id: ids[0] })],
}
const listOf = <T>(list: T | undefined): T => {
  if (list === undefined) throw new Error('the fake has no such list')
  return list
}

keepsTheContract('aws-target-group (a fake of AWS), instances', async () => {
  const site = await awsSite({ groups: { web: {} } })
  return awsSubject(site, listOf(site.fake.groups.get(arnOf('web'))), (servers, env) => site.group({}, servers, env), {
    servers: site.servers,
    strangers,
  })
})

keepsTheContract('aws-target-group (a fake of AWS), addresses', async () => {
  const site = await awsSite({ groups: { web: { type: 'ip' } } })
  const list = listOf(site.fake.groups.get(arnOf('web')))
  return awsSubject(site, list, (servers, env) => site.group({ member: '127.0.0.1:PORT' }, servers, env), {
    servers: [server('web1'), server('web2')],
    strangers: {
      unknown: [server('web8'), server('web9')],
      ambiguous: [server('one', { roles: ['web1'] }), server('other', { roles: ['web1'] })],
    },
  })
})

keepsTheContract('aws-classic (a fake of AWS)', async () => {
  const site = await awsSite({ classics: { web: {} } })
  return awsSubject(site, listOf(site.fake.classics.get('web')), (servers, env) => site.classic({}, servers, env), {
    servers: site.servers,
    strangers,
  })
})
