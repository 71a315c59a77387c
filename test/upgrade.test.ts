import t from 'tap'
import { createDatabase, query } from './support/database.ts'
import {
  findContractions,
  hashMigrations,
  readColumns,
  readReleasedSchema,
  writeReleasedSchema,
} from './support/released-schema.ts'

const RENEW = 'WRITE_SCHEMA=1 npm test -- test/upgrade.test.ts (see docs/deployment.md, Upgrades)'

// Until a version is released, its files may change in place: this records them again.
if (process.env.WRITE_SCHEMA) {
  t.test('record the schema as that of the release', async (t) => {
    await writeReleasedSchema(await createDatabase(t))
  })
}

t.test('sql/: no file of the last release has changed', async (t) => {
  const { files } = readReleasedSchema()
  const present = hashMigrations()
  t.ok(Object.keys(files).length > 5)
  for (const [name, hash] of Object.entries(files))
    t.equal(present[name], hash, `${name}: ${RENEW}`)
})

t.test('sql/: the last release can run beside the present schema', async (t) => {
  const { columns } = readReleasedSchema()
  t.ok(columns.some(({ table, column }) => table === 'amo_tokens' && column === 'accountId'))
  const databaseUrl = await createDatabase(t)
  t.same(findContractions(columns, await readColumns(databaseUrl)), [], RENEW)

  await t.test('and the comparison finds what would break it', async (t) => {
    const change = async (statement: string) => {
      await query(databaseUrl, statement)
      return findContractions(columns, await readColumns(databaseUrl))
    }
    t.same(await change('alter table amo_tokens add column extra text'), [])
    t.same(await change('alter table amo_tokens add column more int not null default 0'), [])
    t.same(await change('create table amo_new (id int not null)'), [])
    const found = ['amo_tokens.strict is new and must be given']
    await query(databaseUrl, 'delete from amo_tokens')
    t.same(await change('alter table amo_tokens add column strict text not null'), found)
    t.match(await change('alter table amo_tokens drop column domain cascade'), [
      'amo_tokens.domain is gone',
    ])
    t.match(await change('drop table amo_breakers cascade'), [/^amo_breakers\.\w+ is gone$/])
  })
})
