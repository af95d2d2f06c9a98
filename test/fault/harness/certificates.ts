import { execFile } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** One certificate with its key, as PEM texts and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

interface CertificateRequest {
  /** File name and common name. */
  readonly name: string;
  readonly purpose?: 'server' | 'client';
  /** Subject alternative names in the words of openssl. */
  readonly names?: readonly string[];
  /** Over since long ago. */
  readonly expired?: boolean;
  /** Encrypts the key. */
  readonly passphrase?: string;
  /** By its own key, not by the authority. */
  readonly selfSigned?: boolean;
}

const LOCAL_NAMES: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'];

/**
 * A certificate authority of one test file, made with the openssl command line: Node can make keys, but not
 * certificates. `openssl ca`, because every version of it can date a certificate into the past.
 */
export class CertificateAuthority {
  private constructor(
    private readonly folder: string,
    readonly root: Certificate,
  ) {}

  /** The PEM text of its own certificate. */
  get ca(): string {
    return this.root.cert;
  }

  static async create(name = 'Fault test CA'): Promise<CertificateAuthority> {
    const folder = await mkdtemp(join(tmpdir(), 'event-bus-ca-'));
    try {
      await writeFile(join(folder, 'index.txt'), '');
      await writeFile(join(folder, 'ca.cnf'), configuration(folder));
      return new CertificateAuthority(folder, await makeRoot(folder, name));
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async issue({
    name,
    purpose = 'server',
    names = LOCAL_NAMES,
    expired = false,
    passphrase,
    selfSigned = false,
  }: CertificateRequest): Promise<Certificate> {
    const file = (ending: string): string => join(this.folder, `${name}.${ending}`);
    const { plain, stored } = newKey(passphrase);
    const extensions = [
      'basicConstraints = critical, CA:FALSE',
      'keyUsage = critical, digitalSignature',
      `extendedKeyUsage = ${purpose}Auth`,
      ...(purpose === 'server' && names.length > 0 ? [`subjectAltName = ${names.join(',')}`] : []),
    ];
    await writeFile(file('plain.key'), plain, { mode: 0o600 });
    await writeFile(file('key'), stored, { mode: 0o600 });
    await writeFile(file('ext'), extensions.join('\n'));
    const subject = `/CN=${name}`;
    await openssl(['req', '-new', ...this.config, '-key', file('plain.key'), '-subj', subject, '-out', file('csr')]);
    const [from, to] = expired ? ['20200101000000Z', '20200201000000Z'] : ['20200101000000Z', '20491231000000Z'];
    const signer = selfSigned
      ? ['-selfsign', '-keyfile', file('plain.key')]
      : ['-cert', this.root.certFile, '-keyfile', this.root.keyFile];
    await openssl([
      ...['ca', '-batch', '-notext', ...this.config, '-extfile', file('ext'), '-startdate', from, '-enddate', to],
      ...[...signer, '-in', file('csr'), '-out', file('crt')],
    ]);
    await rm(file('plain.key'));
    return load(file('crt'), file('key'));
  }

  async dispose(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  private get config(): readonly string[] {
    return ['-config', join(this.folder, 'ca.cnf')];
  }
}

async function makeRoot(folder: string, name: string): Promise<Certificate> {
  const [certFile, keyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
  await writeFile(keyFile, newKey().plain, { mode: 0o600 });
  const [config, subject] = [join(folder, 'ca.cnf'), `/CN=${name}`];
  const signing = ['req', '-x509', '-new', '-config', config, '-extensions', 'authority', '-days', '3650'];
  await openssl([...signing, '-key', keyFile, '-subj', subject, '-out', certFile]);
  return load(certFile, keyFile);
}

async function load(certFile: string, keyFile: string): Promise<Certificate> {
  return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8'), certFile, keyFile };
}

function newKey(passphrase?: string): { readonly plain: string; readonly stored: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const plain = toPem(privateKey);
  return { plain, stored: passphrase === undefined ? plain : toPem(privateKey, passphrase) };
}

function toPem(key: KeyObject, passphrase?: string): string {
  const lock = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  return key.export({ type: 'pkcs8', format: 'pem', ...lock }).toString();
}

async function openssl(args: readonly string[]): Promise<void> {
  try {
    await run('openssl', args);
  } catch (cause) {
    const { code, stderr } = cause as { readonly code?: unknown; readonly stderr?: string };
    throw code === 'ENOENT'
      ? new Error(
          'These specs make certificates with openssl, which is not installed. On Debian: apt-get install openssl',
        )
      : new Error(`openssl ${args[0]} failed: ${stderr ?? ''}`, { cause });
  }
}

/** All that is needed, so that the openssl.cnf of the machine has no say. */
function configuration(folder: string): string {
  return `
[req]
distinguished_name = subject
prompt = no
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = own
[own]
database = ${join(folder, 'index.txt')}
new_certs_dir = ${folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
`;
}
