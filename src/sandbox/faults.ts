import { type Static, Type } from 'typebox'
import type { Endpoint } from './books.ts'
import { faultShapes } from './fault-shapes.ts'
import type { FaultPoint } from './fault-table.ts'
import { faultTable } from './fault-table.ts'
import { createPrng } from './prng.ts'

/** An active fault, as a caller switched it on. `fault-table.ts` describes each fault. */
export const FaultSpec = Type.Object(
  {
    fault: Type.String(),
    /** Subdomain, domain or id. Absent: every account. */
    account: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
    client_id: Type.Optional(Type.String()),
    endpoint: Type.Optional(
      Type.Union([Type.Literal('token'), Type.Literal('probe'), Type.Literal('api')]),
    ),
    /** Number of times it fires. Absent: until it is switched off. */
    times: Type.Optional(Type.Integer({ minimum: 1 })),
    probability: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    seed: Type.Optional(Type.Integer()),
    delay_ms: Type.Optional(Type.Integer({ minimum: 0 })),
    after: Type.Optional(Type.Union([Type.Literal('hang_up'), Type.Literal('arrival')])),
    how: Type.Optional(Type.Union([Type.Literal('reset'), Type.Literal('close')])),
    status: Type.Optional(Type.Integer({ minimum: 200, maximum: 599 })),
    body: Type.Optional(Type.String()),
    content_type: Type.Optional(Type.String()),
    content_encoding: Type.Optional(
      Type.Union([
        Type.Literal('gzip'),
        Type.Literal('deflate'),
        Type.Literal('br'),
        Type.Literal('zstd'),
      ]),
    ),
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

/** The facts about a request that decide which faults fire. */
export interface FaultFacts {
  endpoint: Endpoint
  clientId: string | undefined
  isAccountHost: boolean
  isAccount: (ref: string | number) => boolean
}

/**
 * Keeps the active faults, in the order in which they were given.
 *
 * @param defaultSeed for faults that name no seed
 */
export function createFaults(defaultSeed: number) {
  let active: ActiveFault[] = []

  /** Replaces all faults. An unknown name throws and changes nothing. */
  function set(specs: FaultSpec[]): void {
    active = specs.map((spec) => activate(spec, defaultSeed))
  }

  function add(specs: FaultSpec[]): void {
    active = [...active, ...specs.map((spec) => activate(spec, defaultSeed))]
  }

  function clear(): void {
    active = []
  }

  /**
   * Yields the faults that fire at this point, one by one. When a fault ends the request, the later
   * ones stay for the next request, so a list of faults with `times: 1` is a script.
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

function activate(spec: FaultSpec, defaultSeed: number): ActiveFault {
  if (!faultTable.has(spec.fault)) throw new Error(`no fault is called ${spec.fault}`)
  if (spec.shape !== undefined && !faultShapes.has(spec.shape)) {
    throw new Error(`no shape is called ${spec.shape}`)
  }
  const remaining = spec.times ?? Number.POSITIVE_INFINITY
  return { spec, remaining, fired: 0, random: createPrng(spec.seed ?? defaultSeed) }
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
