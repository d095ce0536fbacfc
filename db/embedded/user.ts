import { chown, stat } from 'node:fs/promises';

/** The user that owns the cluster when we are root: nobody, which every host has by number. */
const NOBODY = 65_534;

/** A command line, and what it becomes for the user that must run it. */
export type Command = { file: string; args: string[] };

/** Who runs Postgres: undefined for ourselves. */
export type ClusterUser = { uid: number; gid: number } | undefined;

/**
 * Postgres refuses to run as root, so as root we run it as the owner of its folder, or as nobody for a new
 * one. No user is made on the host.
 */
export async function clusterUser(clusterDir: string): Promise<ClusterUser> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(clusterDir).catch(() => undefined);
  return owner === undefined || owner.uid === 0
    ? { uid: NOBODY, gid: NOBODY }
    : { uid: owner.uid, gid: owner.gid };
}

/** Gives a file or folder to the cluster’s user. */
export async function giveTo(user: ClusterUser, path: string): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/**
 * The command as that user. It keeps one capability of root, to pass folders that only root may enter, so that
 * a checkout under /root works: CAP_DAC_OVERRIDE, as an ambient capability (capabilities(7)). Without the
 * securebit, access(2) would leave it out of account, and initdb asks that way whether it finds postgres.
 */
export function runAs(user: ClusterUser, { file, args }: Command): Command {
  if (user === undefined) return { file, args };
  const identity = ['--reuid', `${user.uid}`, '--regid', `${user.gid}`, '--clear-groups'];
  const capability = ['--inh-caps', '+dac_override', '--ambient-caps', '+dac_override'];
  const bits = ['--securebits', '+no_setuid_fixup'];
  return { file: 'setpriv', args: [...bits, ...identity, ...capability, '--', file, ...args] };
}
