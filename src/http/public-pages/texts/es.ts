import type { PageTexts } from './page-texts.ts'

const NEW_LINK = 'Pida un enlace nuevo a la persona que se lo envió.'
const SAME_LINK = 'Inténtelo de nuevo con el mismo enlace.'
const OR_SEND_CODE =
  'Si vuelve a ocurrir, envíe el código que aparece abajo a la persona que le envió el enlace.'

export const ES: PageTexts = {
  connecting: {
    title: 'Conectando la cuenta',
    text: 'Tardará unos segundos. La página se actualiza sola.',
  },
  connected: { title: 'La cuenta {domain} está conectada', text: 'Número de cuenta: {account}.' },
  accessGranted: 'Se ha concedido el acceso. Puede cerrar esta página.',
  accessGrantedTo: 'Se ha concedido acceso a {brand}. Puede cerrar esta página.',
  received: { title: 'Recibido', text: 'El código se ha guardado y se canjeará por un token.' },
  nothingHere: {
    title: 'Aquí no hay ninguna página',
    text: 'Esta dirección sirve para conectar cuentas de amoCRM y Kommo. Para conectar una cuenta, abra el enlace que le enviaron. Si ha llegado aquí con ese enlace, pida uno nuevo.',
  },
  tryAgain: 'Intentar de nuevo',
  forTheCompany: 'Para la empresa responsable de la integración',
  otherAccountUnnamed: {
    problem: 'El enlace es para una cuenta distinta de la que ha elegido.',
    remedy: 'Inténtelo de nuevo y elija la cuenta para la que se creó el enlace.',
  },
  pendingUnnamed:
    'La integración se instaló sin un enlace, así que alguien tiene que aprobar antes la cuenta.',
  outcomes: {
    access_denied: {
      title: 'No se permitió el acceso',
      problem:
        'Se ha denegado el permiso en la página de autorización, o usted no puede instalar integraciones en esta cuenta.',
      remedy: 'Inténtelo de nuevo como administrador de la cuenta y elija «Permitir» («Allow»).',
    },
    no_code: {
      title: 'No se ha recibido ningún código',
      problem:
        'La página de autorización le ha traído de vuelta sin el código que conecta la cuenta.',
      remedy: SAME_LINK,
    },
    provider_error: {
      title: 'El proveedor ha comunicado un error',
      problem: 'amoCRM o Kommo ha rechazado la solicitud y la cuenta no está conectada.',
      remedy: `${SAME_LINK} ${OR_SEND_CODE}`,
    },
    setup: {
      title: 'La integración está mal configurada',
      problem: 'No se ha podido conectar la cuenta. Usted no ha hecho nada mal.',
      remedy:
        'Envíe el código que aparece abajo a la persona que le envió el enlace. Solo ella puede corregir la configuración.',
    },
    not_from_link: {
      title: 'Esta página no se ha abierto con un enlace',
      problem:
        'No ha llegado aquí con el enlace que le enviaron, o algo ha cambiado por el camino.',
      remedy: 'Abra el enlace que le enviaron. Si es lo que ha hecho, pida uno nuevo.',
    },
    state_expired: {
      title: 'Ha pasado demasiado tiempo',
      problem: 'Han pasado más de 20 minutos entre el enlace y la autorización.',
      remedy: SAME_LINK,
    },
    other_browser: {
      title: 'Está usando otro navegador',
      problem: 'El enlace se abrió en otro navegador, o este no acepta cookies.',
      remedy: 'Abra el enlace y autorice el acceso en un mismo navegador que acepte cookies.',
    },
    link_used: {
      title: 'Este enlace ya se ha usado',
      problem: 'Cada enlace conecta una sola cuenta, una sola vez.',
      remedy: NEW_LINK,
    },
    link_expired: {
      title: 'Este enlace ha caducado',
      problem: 'Un enlace funciona durante siete días.',
      remedy: NEW_LINK,
    },
    link_unknown: {
      title: 'Este enlace no existe',
      problem: 'La dirección está incompleta o el enlace se ha retirado.',
      remedy: 'Copie el enlace completo o pida uno nuevo a la persona que se lo envió.',
    },
    unconfirmed: {
      title: 'No se ha podido confirmar la cuenta',
      problem: 'El proveedor no ha confirmado que el acceso corresponda a esta cuenta.',
      remedy: 'Inténtelo de nuevo con el mismo enlace dentro de un minuto.',
    },
    other_account: {
      title: 'Ha elegido otra cuenta',
      problem: 'Ha elegido {chosen}, pero el enlace es para {expected}.',
      remedy:
        'Inténtelo de nuevo y elija {expected}. Si no está en la lista, inicie sesión en ella primero.',
    },
    pending: {
      title: 'La cuenta está pendiente de aprobación',
      problem:
        'La integración se instaló en {domain} sin un enlace, así que alguien tiene que aprobar antes la cuenta.',
      remedy:
        'No tiene que hacer nada. Si tarda mucho, póngase en contacto con la empresa propietaria de la integración.',
    },
    superseded: {
      title: 'La cuenta ya está conectada',
      problem:
        'Ya se había recibido una autorización más reciente para la misma cuenta, y es la que se usa.',
      remedy: 'No tiene que hacer nada.',
    },
    interrupted: {
      title: 'La conexión se ha interrumpido',
      problem: 'El proveedor no ha respondido, así que no se sabe si ha aceptado el código.',
      remedy: SAME_LINK,
    },
    unreachable: {
      title: 'amoCRM o Kommo no están disponibles ahora',
      problem: 'No se ha aceptado la solicitud: hay demasiadas o el servicio está caído.',
      remedy: 'Inténtelo de nuevo con el mismo enlace dentro de unos minutos.',
    },
    too_many_codes: {
      title: 'Demasiados intentos fallidos',
      problem:
        'Los últimos códigos de este enlace han sido rechazados, así que por ahora no se envían más.',
      remedy:
        'Espere 20 minutos y abra el enlace de nuevo, o pida uno nuevo a la persona que se lo envió.',
    },
    too_many_requests: {
      title: 'Demasiadas solicitudes',
      problem: 'Llegan más solicitudes desde su dirección de las que hace una persona.',
      remedy: 'Espere un minuto y abra el enlace de nuevo.',
    },
    consent_ended: {
      title: 'La autorización ya no es válida',
      problem: 'Su código ya se usó o tiene más de 20 minutos.',
      remedy: SAME_LINK,
    },
    account_unpaid: {
      title: 'La suscripción ha terminado',
      problem: 'El proveedor no concede acceso hasta que se pague la suscripción.',
      remedy: 'Renueve la suscripción e inténtelo de nuevo con el mismo enlace.',
    },
    malformed: {
      title: 'Esta dirección no es correcta',
      problem: 'Falta una parte, es demasiado larga o se ha modificado.',
      remedy: 'Copie el enlace completo o pida uno nuevo a la persona que se lo envió.',
    },
    broken: {
      title: 'Algo ha fallado',
      problem: 'Es posible que la cuenta no esté conectada.',
      remedy: `${SAME_LINK} ${OR_SEND_CODE}`,
    },
    storage_unavailable: {
      title: 'Ahora no se puede guardar nada',
      problem: 'Nuestra base de datos no responde, así que la cuenta aún no está conectada.',
      remedy: 'Abra el enlace de nuevo dentro de un minuto.',
    },
  },
}
