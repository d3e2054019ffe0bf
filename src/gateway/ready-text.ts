/** What the line says with which the gateway begins. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import { formatEndpoint } from '../core/net/address.ts';

export function readyText(config: GatewayConfig, restored: number): string {
  const where =
    config.mode === 'explicit'
      ? `phones name ${config.listen.map(formatEndpoint).join(', ')} as outbound proxy`
      : `SIP from ${config.internal.join(', ')} to ${config.external.join(', ')}, UDP and TCP port ${config.signalling.ports.join(', ')}`;
  return `ready: ${where}${restored > 0 ? `; ${restored} rows of state restored` : ''}`;
}
