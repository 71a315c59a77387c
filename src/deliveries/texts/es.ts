import type { Texts } from './texts.ts'

export const ES: Texts = {
  button: 'Abrir la consola',
  causes: {
    revoked: 'Alguien desactivó la integración en la cuenta, u otro programa usó su acceso.',
    expired: 'Nadie usó el acceso durante tres meses, así que caducó.',
    gone: 'La cuenta ya no existe en su dirección.',
    lost: 'La respuesta de amoCRM o Kommo no llegó al servicio.',
  },
  authorizeAgain:
    'Un administrador de la cuenta debe volver a permitir el acceso: cree en la consola un enlace para la cuenta y envíeselo.',
  subjects: {
    'account.connected': [
      'Cuenta conectada',
      'La cuenta {account} está conectada mediante la integración {integration}. Los servicios ya pueden usarla. No tiene que hacer nada.',
    ],
    'account.pending': [
      'Una cuenta está pendiente de aprobación',
      'En la cuenta {account} se instaló la integración {integration} sin invitación. Ningún servicio tendrá acceso hasta que apruebe la cuenta en la consola. Si no la conoce, elimínela allí.',
    ],
    'account.reauth_required': [
      'Se perdió el acceso a una cuenta',
      'Los servicios ya no pueden trabajar con la cuenta {account} (integración {integration}).',
    ],
    'account.recovered': [
      'Una cuenta vuelve a funcionar',
      'Los servicios pueden trabajar de nuevo con la cuenta {account} (integración {integration}). No tiene que hacer nada.',
    ],
    'account.disconnected': [
      'Una cuenta se desconectó',
      'La integración {integration} se eliminó en la cuenta {account}. Los servicios ya no tienen acceso. Si fue un error, vuelva a conectar la cuenta con un enlace de la consola.',
    ],
    'account.ending_soon': [
      'El acceso a una cuenta caduca pronto',
      'Días que faltan para que los servicios pierdan el acceso a la cuenta {account} (integración {integration}): {days}. Para evitarlo, un administrador de la cuenta debe volver a permitir el acceso con un enlace de la consola.',
    ],
    'account.removed': [
      'Una cuenta se eliminó',
      'La cuenta {account} (integración {integration}) se eliminó del servicio de tokens. Los servicios ya no tienen acceso.',
    ],
    'integration.halted': [
      'Una integración se detuvo',
      'Muchas cuentas de la integración {integration} perdieron el acceso en pocos minutos. Para evitar más daños, ya no se renueva el acceso de ninguna de sus cuentas. Busque la causa en la consola y reanude la integración.',
    ],
    'integration.resumed': [
      'Una integración vuelve a funcionar',
      'El acceso de las cuentas de la integración {integration} se renueva de nuevo. No tiene que hacer nada.',
    ],
    'integration.client_rejected': [
      'Los ajustes de una integración no son válidos',
      'amoCRM o Kommo ya no acepta los ajustes de la integración {integration}, como su clave secreta. El acceso a sus cuentas no se puede renovar y caducará en menos de un día. Corrija los ajustes en la consola.',
    ],
    'breaker.opened': [
      'amoCRM o Kommo no funciona',
      'Las solicitudes a {breaker} fallan, así que por ahora no se renueva el acceso. El servicio de tokens lo intentará de nuevo por sí mismo. Los demás servicios siguen trabajando con el acceso que tienen.',
    ],
    'breaker.closed': [
      'amoCRM o Kommo vuelve a funcionar',
      'Las solicitudes a {breaker} funcionan de nuevo. No tiene que hacer nada.',
    ],
    'broker.degraded': [
      'El servicio de tokens tiene un problema',
      'No funciona algo que el servicio de tokens necesita: {part}. La consola muestra el efecto y qué hacer.',
    ],
    'broker.recovered': [
      'El servicio de tokens vuelve a funcionar con normalidad',
      'Esto vuelve a funcionar: {part}. No tiene que hacer nada.',
    ],
    'onboarding.failed': [
      'No se pudo conectar una cuenta',
      'Falló un intento de conectar una cuenta a la integración {integration}. La consola muestra el motivo y qué hacer.',
    ],
    'client_key.ending_soon': [
      'La clave de un servicio caduca pronto',
      'Días que faltan para que caduque la clave {key} del servicio {client}: {days}. Cree una clave nueva en la consola y entréguela al servicio.',
    ],
    'endpoint.disabled': [
      'Un receptor de avisos se desactivó',
      'Ya no se envían mensajes a {endpoint}: no se pudieron entregar o alguien lo desactivó. Corrija los ajustes en la consola y vuelva a activar el receptor.',
    ],
    'endpoint.test': [
      'Mensaje de prueba',
      'Aquí llegan los avisos del servicio de tokens. Se envían al receptor {endpoint}.',
    ],
    paused: [
      'Una integración se pausó',
      'Alguien pausó la integración {integration}. El acceso a sus cuentas no se renueva hasta que se reanude en la consola.',
    ],
    group: [
      'Se perdió el acceso a muchas cuentas',
      'Cuentas de la integración {integration} con las que los servicios ya no pueden trabajar: {count}. Es probable que tengan la misma causa. La consola las enumera y crea los enlaces con los que sus administradores vuelven a permitir el acceso.',
    ],
    flapping: [
      'El acceso a una cuenta se pierde y vuelve una y otra vez',
      'El acceso a la cuenta {account} (integración {integration}) se perdió y volvió varias veces. Busque otro programa que use la misma integración y deténgalo.',
    ],
  },
}
