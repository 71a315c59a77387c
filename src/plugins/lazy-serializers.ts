import SerializerSelector from '@fastify/fast-json-stringify-compiler'

/**
 * Fastify's own serializers, each compiled when its first answer is sent. Most are of problems, which are sent without, and
 * the start would wait for all of them.
 */
export function lazySerializers(): SerializerSelector.SerializerFactory {
  const build = SerializerSelector()
  return (schemas, options) => {
    const compile = build(schemas, options)
    return (route) => {
      let serialize: SerializerSelector.Serializer | undefined
      return (answer) => {
        serialize ??= compile(route)
        return serialize(answer)
      }
    }
  }
}
