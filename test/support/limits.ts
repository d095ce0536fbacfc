/** For tests that send more, or from more places at once, than one client may. */
export const noLimits = {
  LIMIT_FRAMES_PER_SECOND: '0',
  LIMIT_FRAMES_PER_SECOND_USER: '0',
  LIMIT_SESSIONS_PER_USER: '0',
  LIMIT_CONNECTIONS_PER_IP: '0',
  LIMIT_HANDSHAKES_PER_MINUTE_IP: '0',
  LIMIT_QUERIES_PER_MINUTE: '0',
};
