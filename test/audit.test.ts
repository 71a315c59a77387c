import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { verifyAudit } from '../src/audit/verify-chain.ts'
import { readDeployment } from '../src/db/deployment.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { KeyedHash } from '../src/vault/keyed-hash.ts'
import { Secret } from '../src/vault/secret.ts'
import { ENCRYPTION_KEYS, OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { ask, fromManyAddresses, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

async function verify(databaseUrl: string, dataDir: string, ...args: string[]) {
  const { code, out, err } = await runCli(['audit', 'verify', ...args], {
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'x',
    OPERATOR_KEY,
    ENCRYPTION_KEYS,
    DATA_DIR: dataDir,
  })
  return { code, out: out + err }
}

t.test('audit', async (t) => {
  const { broker, sandbox, databaseUrl, row, connectedAs } = await startBrokerWithSandbox(t)
  const asker = fromManyAddresses(t, 14)
  const key = await makeClient(broker, 'shop', 'reader', [
    { integration: 'amocrm', account: 'demo' },
  ])
  const shop = { authorization: `Bearer ${key}` }
  const { accountId } = await row()
  const entries = async (filter = '') => (await broker.get(`/audit?${filter}`)).body.entries

  await t.test('reads are counted by client, account, generation and outcome', async (t) => {
    for (let read = 0; read < 7; read += 1) await ask(broker.url, 'GET', '/tokens/demo', shop)
    await ask(broker.url, 'GET', '/tokens/other', shop)
    await asker(broker.url, 'GET', '/tokens/demo')
    await asker(broker.url, 'GET', '/tokens/demo', { authorization: 'Bearer canary-wrong-key' })
    await until(async () => (await entries('actor=shop&outcome=done')).length > 0, 15_000)
    t.match(await entries('actor=shop&outcome=done'), [
      {
        action: 'readToken',
        account_id: accountId,
        integration: 'amocrm',
        generation: connectedAs,
        times: 7,
      },
    ])
    t.match(await entries('actor=shop&outcome=forbidden'), [{ times: 1, account_id: null }])
    t.match(await entries('actor=nobody'), [{ outcome: 'unauthorized', times: 2 }])
  })

  await t.test('every act is recorded before its response, with actor and outcome', async (t) => {
    t.match(await entries('action=createClient'), [
      {
        actor: 'operator',
        outcome: 'done',
        detail: { client: 'shop', role: 'reader', grants: 1 },
      },
    ])
    await ask(broker.url, 'DELETE', '/clients/shop', shop)
    t.match(await entries('action=revokeClient'), [{ actor: 'shop', outcome: 'forbidden' }])
    await ask(broker.url, 'POST', '/connect-links', operator, { integration: 'Canary secret' })
    const [failed] = await entries('action=createConnectLink')
    t.match(failed, { outcome: 'integration_not_found', detail: {} })
    t.match(await entries('action=accountCreated'), [
      { actor: 'database', account_id: accountId, detail: { session: 'broker' } },
    ])
    await query(databaseUrl, 'update amo_tokens set paused = true')
    await query(databaseUrl, 'update amo_tokens set paused = false')
    const byHand = await entries('action=accountPaused')
    const session = { actor: 'database', detail: { session: 'other' } }
    t.match(byHand, [
      { ...session, outcome: 'resumed' },
      { ...session, outcome: 'paused' },
    ])
  })

  await t.test('GET /audit: filters and pages', async (t) => {
    const all = await entries()
    t.ok(all.length > 8)
    const ids = all.map(({ id }: { id: number }) => id)
    t.same(
      ids,
      ids.toSorted((a: number, b: number) => b - a),
      'the newest first',
    )
    t.same(await entries(`before=${ids[2]}`), all.slice(3))
    t.same(
      await entries(`account=${accountId}&integration=amocrm`),
      all.filter((each: { account_id: number }) => each.account_id === accountId),
    )
    t.same(await entries('since=2999-01-01T00:00:00Z'), [])
    t.same(await entries('until=2000-01-01T00:00:00Z'), [])
    for (const bad of [
      'actor=A',
      'account=x',
      'since=soon',
      'nonsense=1',
      'before=0',
      'before=1e999',
    ]) {
      t.equal((await broker.get(`/audit?${bad}`)).status, 400, bad)
    }
  })

  await t.test('the table contains no secret', async (t) => {
    const columns = ['actor', 'action', 'outcome', 'detail']
    const good = ['shop', 'readToken', 'done', '{}']
    for (const secret of [
      `eyJ0eXAiOiJKV1Qi.${'x'.repeat(900)}`,
      key,
      'def502'.repeat(20),
      'Canary Secret',
    ]) {
      for (const [index, column] of columns.entries()) {
        const value = column === 'detail' ? JSON.stringify({ note: [secret] }) : secret
        const insert = query(
          databaseUrl,
          'insert into amo_audit (actor, action, outcome, detail) values ($1, $2, $3, $4)',
          good.with(index, value),
        )
        await t.rejects(insert, { code: '23514' }, `${column}: ${secret.slice(0, 12)}`)
      }
    }
  })

  await broker.stop()
  const heads = readFileSync(join(broker.dataDir, 'audit-heads'), 'utf8').trim().split('\n')
  const [{ last, unsealed } = {}] = await query(
    databaseUrl,
    'select max(seq)::int as last, count(*) filter (where seq is null)::int as unsealed from amo_audit',
  )

  await t.test('SIGTERM: seals every row and publishes the head', async (t) => {
    t.equal(unsealed, 0)
    t.match(heads.at(-1), new RegExp(`^${last} [\\w-]{43} `))
    t.match(broker.log(), new RegExp(`"seq":${last},"mac":"[\\w-]{43}","msg":"audit head"`))
    const { code, out } = await verify(databaseUrl, broker.dataDir)
    t.equal(code, 0, out)
    t.match(out, /the audit is whole/)
  })

  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const { rootSecret } = await readDeployment(database.db, KeyRing.parse(ENCRYPTION_KEYS))
  const hash = new KeyedHash(() => rootSecret, 'audit')
  const published = heads.map((line) => {
    const [seq, mac = ''] = line.split(' ')
    return { seq: Number(seq), mac }
  })

  /** Manipulates the table, verifies the chain, and undoes the change. Returns the findings. */
  const tampered = async (statement: string, known = published) => {
    await query(databaseUrl, 'create table backup as select * from amo_audit')
    await query(databaseUrl, 'create table backup_head as select * from amo_audit_head')
    try {
      await query(databaseUrl, statement)
      return (await verifyAudit(database.db, hash, known)).problems.join('\n')
    } finally {
      await query(
        databaseUrl,
        `delete from amo_audit; delete from amo_audit_head;
         insert into amo_audit overriding system value select * from backup;
         insert into amo_audit_head select * from backup_head; drop table backup; drop table backup_head`,
      )
    }
  }

  await t.test('every manipulation of the table is found, with its place', async (t) => {
    for (const [statement, expected] of [
      [`update amo_audit set actor = 'nobody' where seq = 3`, /row 3 was changed/],
      [`update amo_audit set times = times + 1 where seq = 3`, /row 3 was changed/],
      [
        `update amo_audit set at = at - interval '1 microsecond' where seq = 3`,
        /row 3 was changed/,
      ],
      [`update amo_audit set detail = '{"a": 1}' where seq = 3`, /row 3 was changed/],
      [
        `update amo_audit set seq = -seq where seq in (3, 4); update amo_audit set seq = 7 + seq where seq < 0`,
        /row 3 was changed/,
      ],
      ['delete from amo_audit where seq = 3', /row 3 was removed/],
      ['delete from amo_audit where seq < 3', /rows 1 to 2 were removed/],
      [
        `delete from amo_audit where seq > ${last - 2}`,
        new RegExp(`rows ${last - 1} to ${last} were removed`),
      ],
      [
        `delete from amo_audit where seq > ${last - 2};
         update amo_audit_head set seq = ${last - 2}, mac = (select mac from amo_audit where seq = ${last - 2})`,
        new RegExp(`rows ${last - 1} to ${last} were removed`),
      ],
      [
        `delete from amo_audit where seq <= 4;
         update amo_audit_head set "cutSeq" = 4, "cutMac" = (select mac from backup where seq = 4), "cutSignature" = 'x'`,
        /the checkpoint at row 4 is not signed/,
      ],
      ["delete from amo_audit; update amo_audit_head set seq = 0, mac = ''", /were removed/],
    ] as const) {
      t.match(await tampered(statement), expected, statement)
    }
    t.equal((await verifyAudit(database.db, hash, published)).problems.length, 0, 'taken back')
  })

  await t.test('a truncation is found by a head that was published in a log', async (t) => {
    const file = join(broker.dataDir, 'heads-elsewhere')
    writeFileSync(file, broker.log())
    for (const own of ['audit-heads', 'audit-head']) writeFileSync(join(broker.dataDir, own), '')
    const cut = `delete from amo_audit where seq > 4; update amo_audit_head set seq = 4, mac = (select mac from amo_audit where seq = 4)`
    t.equal(await tampered(cut, []), '', 'without any published head nobody can know')
    await query(databaseUrl, cut)
    t.equal((await verify(databaseUrl, broker.dataDir)).code, 0)
    const { code, out } = await verify(databaseUrl, broker.dataDir, '--heads', file)
    t.equal(code, 1, out)
    t.match(out, /the audit was tampered with/)
  })

  await t.test('retention leaves a signed checkpoint', async (t) => {
    await query(databaseUrl, `update amo_audit set at = at - interval '3 days' where seq <= 2`)
    // Simulates rows that were sealed three days ago. The broker rebuilds the chain for this test
    // only.
    await query(
      databaseUrl,
      `update amo_audit set seq = null, mac = null; update amo_audit_head set seq = 0, mac = ''`,
    )
    const again = await startBroker(t, {
      databaseUrl,
      sandbox,
      env: { AUDIT_DAYS: '2' },
    })
    await until(async () => {
      const [head] = await query(databaseUrl, 'select "cutSeq"::int as cut from amo_audit_head')
      return head?.cut === 2
    })
    await again.stop()
    const { code, out } = await verify(databaseUrl, again.dataDir)
    t.equal(code, 0, out)
    t.match(out, /^rows 3 to \d+/)
  })

  await t.test(
    'a row that was backdated in psql does not make retention remove others',
    async (t) => {
      await query(databaseUrl, `update amo_audit set at = at - interval '9 days' where seq = 3`)
      await query(
        databaseUrl,
        `insert into amo_audit (at, actor, action, outcome)
       values (now() - interval '9 days', 'intruder', 'readToken', 'done')`,
      )
      const again = await startBroker(t, { databaseUrl, sandbox, env: { AUDIT_DAYS: '2' } })
      await until(async () => {
        const [forged] = await query(
          databaseUrl,
          `select seq from amo_audit where actor = 'intruder'`,
        )
        return forged?.seq !== null
      })
      await again.stop()
      const [head] = await query(databaseUrl, 'select "cutSeq"::int as cut from amo_audit_head')
      t.equal(head?.cut, 2, 'as before')
      const { code, out } = await verify(databaseUrl, again.dataDir)
      t.equal(code, 1)
      t.match(out, /row 3 was changed/)
    },
  )
})
