import type { AuditRow } from '../../../audit/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { formProblem, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { badge, card, emptyState, formatNumber, stackTable } from '../parts.ts'
import { momentTag } from '../times.ts'

interface Chain {
  /** Number of the newest row in the chain. */
  seq: number
  /** What is wrong with it; null: nothing was noticed. */
  problem: string | null
}

interface AuditPage {
  form: Form
  entries: readonly AuditRow[]
  chain: Chain
  hasMore: boolean
}

/** Returns the state of the chain as a sentence. */
export function auditTitle({ problem }: Chain): string {
  return problem === null ? 'Who did what' : 'The audit was tampered with'
}

/** Shows the state of the chain, a filter, and one page of entries. */
export function auditView({ form, entries, chain, hasMore }: AuditPage): Html {
  const rows = entries.map(rowOf)
  const list =
    rows.length === 0
      ? emptyState('No entry fits this filter.')
      : stackTable(
          'Entries, the newest first',
          ['When (UTC)', 'Who', 'Did', 'Outcome', 'On', 'Detail'],
          rows,
        )
  const last = entries.at(-1)
  const more =
    hasMore &&
    last !== undefined &&
    html`<p><a href="/console/audit?${queryOf(form, { before: last.id })}">Older entries</a></p>`
  return html`${chainBand(chain)}${filterForm(form)}
<section class="card"><h2 class="visually-hidden">Entries</h2>${list}${more}</section>
${card(
  'Export',
  html`<p>All entries that fit the filter, the newest first, 100,000 at most.</p>
<p class="acts"><a class="button" href="/console/audit/export/csv?${queryOf(form)}">CSV</a>
<a class="button" href="/console/audit/export/jsonl?${queryOf(form)}">JSON lines</a></p>`,
)}`
}

function chainBand({ seq, problem }: Chain): Html {
  if (problem === null) {
    return html`<section class="band good"><div><b>The chain is whole as far as this replica has watched it.</b></div>
<div>${formatNumber(seq)} entries are sealed. <code>amo-broker audit verify</code> checks them all, against the heads that were published.</div></section>`
  }
  return html`<section class="band bad"><div><b>The chain does not fit: ${problem}.</b></div>
<div>Somebody who can write to the database has changed it. <code>amo-broker audit verify</code> shows which entries. Keep <code>DATA_DIR</code> and the logs of all replicas.</div></section>`
}

function filterForm(form: Form): Html {
  const field = (name: string, label: string, type: 'text' | 'date' | 'number' = 'text') =>
    textField(form, { name, label, type, isFilter: true })
  return html`<form class="filter" method="get" action="/console/audit" role="search" aria-label="Filter">${formProblem(form)}
${field('actor', 'Who')}${field('action', 'Did')}${field('outcome', 'Outcome')}${field('integration', 'Integration')}
${field('account', 'Account id', 'number')}${field('since', 'From', 'date')}${field('until', 'Before', 'date')}
<div class="acts"><button>Filter</button> <a class="button" href="/console/audit">Show all</a></div></form>`
}

function rowOf(row: AuditRow) {
  const { at, actor, action, outcome, times, integration, accountId } = row
  // A trigger records the new state of a row as the outcome.
  const isFine = actor === 'database' || outcome === 'done' || outcome === 'not_modified'
  const detail = detailOf(row.detail)
  const count = Number(times) > 1 && html` <small>×${formatNumber(Number(times))}</small>`
  const on =
    accountId === null || integration === null
      ? integration
      : html`<a href="/console/accounts/${encodeURIComponent(integration)}/${accountId}">${integration}/${accountId}</a>`
  return [
    momentTag(new Date(at)),
    actor,
    html`${action}${count}`,
    isFine ? outcome : badge('warn', outcome),
    on,
    detail && html`<small>${detail}</small>`,
  ]
}

function detailOf(detail: string): string {
  const entries: Record<string, unknown> = JSON.parse(detail)
  return Object.entries(entries)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ')
}

/** Returns the query that shows the same filter. */
function queryOf({ values }: Form, more: Record<string, string> = {}): string {
  const named = Object.entries({ ...values, before: '', ...more })
  const filled = named.filter((entry): entry is [string, string] => {
    const [, value] = entry
    return typeof value === 'string' && value !== ''
  })
  return new URLSearchParams(filled).toString()
}
