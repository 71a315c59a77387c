import type { Account } from './directory.ts'

/** A lead or contact, with the fields that clients read. */
export type Entity = Record<string, unknown> & { id: number }
export type EntityKind = 'leads' | 'contacts'

export type Crm = ReturnType<typeof createCrm>

/**
 * Stores the leads and contacts of each account in memory. `account.leads` is the number of leads
 * at the start.
 */
export function createCrm(clock: () => number) {
  const stores = new Map<string, { seeded: number; entities: Map<number, Entity> }>()

  /** Creates the leads anew when `account.leads` has changed. */
  function storeOf(account: Account, kind: EntityKind): Map<number, Entity> {
    const key = `${account.key} ${kind}`
    const known = stores.get(key)
    if (known?.seeded === account.leads) return known.entities
    const entities = new Map<number, Entity>()
    const length = kind === 'leads' ? account.leads : Math.min(1, account.leads)
    for (let id = 1; id <= length; id += 1) entities.set(id, makeEntity(account, kind, id, {}))
    stores.set(key, { seeded: account.leads, entities })
    return entities
  }

  function list(account: Account, kind: EntityKind): Entity[] {
    return [...storeOf(account, kind).values()]
  }

  function find(account: Account, kind: EntityKind, id: number): Entity | undefined {
    return storeOf(account, kind).get(id)
  }

  function create(account: Account, kind: EntityKind, fields: Record<string, unknown>): Entity {
    const store = storeOf(account, kind)
    const entity = makeEntity(account, kind, Math.max(0, ...store.keys()) + 1, fields)
    store.set(entity.id, entity)
    return entity
  }

  /** Changes an entity. Returns undefined if there is none with this id. */
  function change(
    account: Account,
    kind: EntityKind,
    id: number,
    fields: Record<string, unknown>,
  ): Entity | undefined {
    const known = find(account, kind, id)
    if (known === undefined) return undefined
    return Object.assign(known, fields, { id, updated_at: seconds() })
  }

  function makeEntity(
    account: Account,
    kind: EntityKind,
    id: number,
    fields: Record<string, unknown>,
  ): Entity {
    const common = {
      responsible_user_id: account.userId,
      group_id: 0,
      created_by: account.userId,
      updated_by: account.userId,
      created_at: seconds(),
      updated_at: seconds(),
      closest_task_at: null,
      is_deleted: false,
      custom_fields_values: null,
      account_id: account.accountId,
    }
    const own =
      kind === 'leads'
        ? {
            name: `Lead ${id}`,
            price: 1_000,
            status_id: 142,
            pipeline_id: account.accountId,
            loss_reason_id: null,
            closed_at: null,
            score: null,
            labor_cost: null,
          }
        : {
            name: `Contact ${id}`,
            first_name: 'Contact',
            last_name: String(id),
            is_unsorted: false,
          }
    return { ...common, ...own, ...fields, id }
  }

  function seconds(): number {
    return Math.floor(clock() / 1_000)
  }

  return { list, find, create, change }
}
