import { Type } from '../lib/type.ts'
import { Time } from './fields.ts'

export const SignInLinkSchema = Type.Object(
  {
    url: Type.String({
      description: 'opens the console as the caller, once and within five minutes: it is a secret',
    }),
    expires_at: Time,
  },
  { description: 'the link' },
)
