import ValidatorSelector from '@fastify/ajv-compiler'
import SerializerSelector from '@fastify/fast-json-stringify-compiler'

/**
 * Returns Fastify's own serializers, each compiled when its first response is sent. Most belong to
 * problem documents, which are sent without a serializer, and the start would wait for all of them.
 */
export function lazySerializers(): SerializerSelector.SerializerFactory {
  const build = SerializerSelector()
  return (schemas, options) => {
    const compile = build(schemas, options)
    return (route) => {
      let serialize: SerializerSelector.Serializer | undefined
      return (response) => {
        serialize ??= compile(route)
        return serialize(response)
      }
    }
  }
}

type Validators = ReturnType<typeof ValidatorSelector>
type Compile = ReturnType<Validators>
type Check = ((data: unknown) => unknown) & { errors?: unknown }

/**
 * Returns Fastify's own validators, each compiled when its first request arrives. A replica that
 * serves tokens uses a few of some hundred.
 */
export function lazyValidators(): Validators {
  const build: Validators = ValidatorSelector()
  return ((...given: Parameters<Validators>) => {
    let compile: Compile | undefined
    return (...route: Parameters<Compile>) => {
      let check: Check | undefined
      const lazily: Check = (data) => {
        compile ??= build(...given)
        check ??= compile(...route) as Check
        const matches = check(data)
        // Fastify reads the errors from the function that it has called.
        if (matches === false) lazily.errors = check.errors
        return matches
      }
      return lazily
    }
  }) as Validators
}
