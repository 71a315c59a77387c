/** A token that a caller received. */
export interface Read {
  account: number
  replica: string
  generation: number
  /** Time before the request was sent. */
  askedAtMs: number
  tookMs: number
  /** 0 without a promise: the token is to be used at once. */
  useUntilMs: number
  isStale: boolean
  /** The provider already refused it when it arrived. */
  isDead: boolean
}
