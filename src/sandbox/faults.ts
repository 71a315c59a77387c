import { type Static, Type } from 'typebox'
import type { Endpoint } from './books.ts'
import { faultShapes } from './fault-shapes.ts'
import type { FaultPoint } from './fault-table.ts'
import { faultTable } from './fault-table.ts'
import { createPrng } from './prng.ts'

/** A fault as it is switched on; the table says what each does. */
export const FaultSpec = Type.Object(
  {
    fault: Type.String(),
    /** Subdomain, domain or id; absent = every account. */
    account: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
    client_id: Type.Optional(Type.String()),
    endpoint: Type.Optional(
      Type.Union([Type.Literal('token'), Type.Literal('probe'), Type.Literal('api')]),
    ),
    /** How often it fires; absent = until it is switched off. */
    times: Type.Optional(Type.Integer({ minimum: 1 })),
    probability: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    seed: Type.Optional(Type.Integer()),
    delay_ms: Type.Optional(Type.Integer({ minimum: 0 })),
    after: Type.Optional(Type.Union([Type.Literal('hang_up'), Type.Literal('arrival')])),
    how: Type.Optional(Type.Union([Type.Literal('reset'), Type.Literal('close')])),
    status: Type.Optional(Type.Integer({ minimum: 200, maximum: 599 })),
    body: Type.Optional(Type.String()),
    content_type: Type.Optional(Type.String()),
    shape: Type.Optional(Type.String()),
    patch: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    account_id: Type.Optional(Type.Integer()),
    bytes: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
)
export type FaultSpec = Static<typeof FaultSpec>

export interface ActiveFault {
  spec: FaultSpec
  remaining: number
  fired: number
  random: () => number
}

/** What a request is, as far as choosing faults goes. */
export interface FaultFacts {
  endpoint: Endpoint
  clientId: string | undefined
  isAccountHost: boolean
  isAccount: (ref: string | number) => boolean
}

/** The faults now on, in the order in which they were given. */
export function createFaults() {
  let active: ActiveFault[] = []

  /** Replaces all; throws for an unknown name, and nothing is changed then. */
  function set(specs: FaultSpec[]): void {
    active = specs.map(activate)
  }

  function add(specs: FaultSpec[]): void {
    active = [...active, ...specs.map(activate)]
  }

  function clear(): void {
    active = []
  }

  /**
   * Gives those that fire here and now, one by one: a fault that ends the request leaves the ones
   * behind it for the next, so a list of `times: 1` is a script.
   */
  function* take(point: FaultPoint, facts: FaultFacts): Generator<FaultSpec> {
    for (const fault of active) {
      const isFiring = isDue(fault, point, facts) && fault.random() < (fault.spec.probability ?? 1)
      if (!isFiring) continue
      fault.remaining -= 1
      fault.fired += 1
      yield fault.spec
    }
  }

  return { set, add, clear, take, list: (): readonly ActiveFault[] => active }
}

function activate(spec: FaultSpec): ActiveFault {
  if (!faultTable.has(spec.fault)) throw new Error(`no fault is called ${spec.fault}`)
  if (spec.shape !== undefined && !faultShapes.has(spec.shape)) {
    throw new Error(`no shape is called ${spec.shape}`)
  }
  const remaining = spec.times ?? Number.POSITIVE_INFINITY
  return { spec, remaining, fired: 0, random: createPrng(spec.seed ?? 1) }
}

function isDue({ spec, remaining }: ActiveFault, point: FaultPoint, facts: FaultFacts): boolean {
  const kind = faultTable.get(spec.fault)
  return (
    remaining > 0 &&
    kind?.point === point &&
    kind.endpoints.includes(facts.endpoint) &&
    (spec.endpoint === undefined || spec.endpoint === facts.endpoint) &&
    (spec.client_id === undefined || spec.client_id === facts.clientId) &&
    (kind.accountHostOnly !== true || facts.isAccountHost) &&
    (spec.account === undefined || facts.isAccount(spec.account))
  )
}
