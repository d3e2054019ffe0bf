/**
 * Which router it is, from what routers say. The announcements below are written by hand, from the fingerprints that are
 * documented (recog, UPnP descriptions, manuals); they are no recordings of devices. What carries them is real: HTTP, TLS-less
 * pages, SSH and telnet greetings on sockets.
 */
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { loadCatalogue, recipeFolder } from '../../src/routers/catalogue.ts';
import { askBanner } from '../../src/routers/identify/banners.ts';
import { type Evidence, evidence } from '../../src/routers/identify/evidence.ts';
import { macVendor } from '../../src/routers/identify/mac-vendors.ts';
import { requireLocal } from '../../src/routers/identify/place.ts';
import { portMappingText } from '../../src/routers/identify/port-mapping.ts';
import { rankRecipes, toldApart } from '../../src/routers/identify/rank.ts';
import { descriptionOf } from '../../src/routers/identify/snmp.ts';
import { descriptionEvidence } from '../../src/routers/identify/upnp.ts';
import { askWeb } from '../../src/routers/identify/web.ts';

const folder = recipeFolder()!;
const { recipes } = loadCatalogue(folder);

interface Announcement {
  readonly what: string;
  /** The recipe that has to come first; undefined where what it says fits several, and nothing may be guessed. */
  readonly recipe: string | undefined;
  readonly mac?: string;
  readonly title?: string;
  readonly server?: string;
  readonly realm?: string;
  readonly certificate?: string;
  /** manufacturer, modelName, modelNumber. */
  readonly description?: readonly [string, string, string];
  readonly ssdp?: string;
  readonly ssh?: string;
  readonly telnet?: string;
  readonly snmp?: string;
}

const announcements: readonly Announcement[] = [
  {
    what: 'ASUS RT-AX',
    recipe: 'asus-asuswrt',
    title: 'ASUS Login',
    ssdp: 'AsusWRT/386 UPnP/1.1 MiniUPnPd/2.2.0',
    mac: '04:d4:c4:11:22:33',
  },
  {
    what: 'FRITZ!Box',
    recipe: 'avm-fritzbox',
    title: 'FRITZ!Box',
    ssdp: 'fritz.box UPnP/1.0 AVM FRITZ!Box 7590 154.07.57',
  },
  {
    what: 'DD-WRT',
    recipe: 'ddwrt-ddwrt',
    title: 'DD-WRT (build 44715) - Info',
    telnet: 'DD-WRT v3.0-r44715 std',
  },
  { what: 'D-Link DIR', recipe: 'dlink-dir', server: 'D-Link Router', realm: 'D-Link DIR-615' },
  {
    what: 'DrayTek Vigor 2865',
    recipe: 'draytek-vigor',
    title: 'Vigor Login Page',
    ssdp: 'DrayTek/Vigor2865 UPnP/1.1 miniupnpd/1.0',
  },
  {
    what: 'FortiGate',
    recipe: 'fortinet-fortigate',
    title: 'FortiGate',
    certificate: 'CN=FGT60F, O=Fortinet, OU=FortiGate',
  },
  {
    what: 'TalkTalk HG633',
    recipe: 'huawei-hg633',
    realm: 'HuaweiHomeGateway',
    description: ['Huawei Technologies Co., Ltd.', 'HG633', 'HG633'],
  },
  { what: 'a Huawei home gateway that does not say which', recipe: undefined, realm: 'HuaweiHomeGateway' },
  {
    what: 'Juniper SRX, asked by SNMP',
    recipe: 'juniper-junos',
    snmp: 'Juniper Networks, Inc. srx300 internet router, kernel JUNOS 21.4R3',
  },
  {
    what: 'Linksys EA',
    recipe: 'linksys-smart-wifi',
    title: 'Linksys Smart Wi-Fi',
    certificate: 'O=Cisco-Linksys, LLC, CN=Linksys',
  },
  {
    what: 'MikroTik',
    recipe: 'mikrotik-routeros',
    title: 'RouterOS router configuration page',
    ssh: 'SSH-2.0-ROSSSH',
  },
  {
    what: 'MikroTik by telnet only',
    recipe: 'mikrotik-routeros',
    telnet: 'MikroTik v6.49.10 (long-term)\r\nLogin: ',
  },
  {
    what: 'Netgear Nighthawk',
    recipe: 'netgear-genie',
    realm: 'NETGEAR R7000',
    ssdp: 'Netgear/V1.0 UPnP/1.0 miniupnpd/1.0',
  },
  {
    what: 'OpenWrt',
    recipe: 'openwrt-openwrt',
    title: 'OpenWrt - LuCI',
    ssh: 'SSH-2.0-dropbear',
    certificate: 'CN=OpenWrt, O=OpenWrt1a2b3c4d',
  },
  {
    what: 'pfSense',
    recipe: 'netgate-pfsense',
    title: 'pfSense - Login',
    certificate: 'O=pfSense webConfigurator Self-Signed Certificate, CN=pfSense-5f1',
  },
  { what: 'OPNsense', recipe: 'opnsense-opnsense', title: 'Login | OPNsense' },
  {
    what: 'SonicWall TZ',
    recipe: 'sonicwall-sonicos',
    server: 'SonicWALL',
    title: 'SonicWALL - Authentication',
  },
  { what: 'Sophos XG', recipe: 'sophos-sfos', certificate: 'CN=SophosApplianceCertificate_C01' },
  {
    what: 'SpeedTouch',
    recipe: 'thomson-speedtouch',
    realm: 'SpeedTouch (00-90-D0-11-22-33)',
    telnet: 'SpeedTouch 780\r\nUsername : ',
  },
  { what: 'Tomato', recipe: 'tomato-tomato', realm: 'FreshTomato', ssdp: 'Tomato UPnP/1.0 MiniUPnPd/2.1' },
  {
    what: 'TP-Link Archer',
    recipe: 'tplink-archer',
    server: 'TP-LINK HTTPD/1.0',
    realm: 'TP-LINK Wireless N Router WR841N',
  },
  { what: 'Ubee', recipe: 'ubee-gateway', realm: 'UBEE' },
  {
    what: 'EdgeRouter',
    recipe: 'ubiquiti-edgeos',
    title: 'EdgeOS',
    certificate: 'C=US, ST=NY, O=Ubiquiti Networks, CN=UBNT Router UI',
    ssh: 'SSH-2.0-OpenSSH_7.4p1 Debian-10+deb9u7',
  },
  {
    what: 'UniFi gateway',
    recipe: 'ubiquiti-unifi',
    title: 'UniFi OS',
    certificate: 'CN=unifi.local, O=ubnt.com, OU=UniFi',
  },
  {
    what: 'WatchGuard',
    recipe: 'watchguard-firebox',
    certificate: 'O=WatchGuard, OU=Fireware, CN=Fireware web CA',
  },
  { what: 'ZyXEL P-660', recipe: 'zyxel-p660', server: 'ZyXEL-RomPager/3.02', telnet: 'ZyXEL login: ' },
  { what: 'ZyWALL USG', recipe: 'zyxel-usg', title: 'USG60', ssh: 'SSH-2.0-Zyxel SSH server' },
  {
    what: 'Cisco IOS, asked by SNMP',
    recipe: 'cisco-ios',
    ssh: 'SSH-2.0-Cisco-1.25',
    snmp: 'Cisco IOS Software, C880 Software',
  },
  {
    what: 'Cisco ASA, asked by SNMP',
    recipe: 'cisco-asa',
    snmp: 'Cisco Adaptive Security Appliance Version 9.8(4)',
  },
  { what: 'Meraki MX, asked by SNMP', recipe: 'cisco-meraki-mx', snmp: 'Meraki MX64 Cloud Managed Router' },
  { what: 'a Thomson gateway under its second name', recipe: undefined, realm: 'Thomson Gateway' },
  {
    what: 'a Debian server',
    recipe: undefined,
    server: 'Apache/2.4.57 (Debian)',
    title: 'Apache2 Debian Default Page: It works',
    ssh: 'SSH-2.0-OpenSSH_9.2p1 Debian-2',
  },
  { what: 'only a network interface', recipe: undefined, mac: '50:c7:bf:11:22:33' },
  { what: 'a printer', recipe: undefined, title: 'HP LaserJet', server: 'HP HTTP Server' },
];

function descriptionXml([manufacturer, name, number]: readonly [string, string, string]): string {
  return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><manufacturer>${manufacturer}</manufacturer><modelName>${name}</modelName><modelNumber>${number}</modelNumber></device></root>`;
}

/** What is seen of it, over sockets where it speaks over sockets. */
async function seenOf(one: Announcement): Promise<Evidence[]> {
  const found: Evidence[] = [];
  if (one.title !== undefined || one.server !== undefined || one.realm !== undefined) {
    const server = createHttpServer((_, response) => {
      if (one.server !== undefined) response.setHeader('Server', one.server);
      if (one.realm !== undefined) response.setHeader('WWW-Authenticate', `Basic realm="${one.realm}"`);
      response
        .writeHead(one.realm === undefined ? 200 : 401)
        .end(`<html><head><title>${one.title ?? ''}</title></head></html>`);
    });
    found.push(...(await listening(server, (port) => askWeb('127.0.0.1', port, false, [], 3_000))));
  }
  for (const [kind, text] of [
    ['ssh-banner', one.ssh],
    ['telnet-banner', one.telnet],
  ] as const) {
    if (text === undefined) continue;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      // A telnet option in the middle of the greeting, as devices send it.
      if (kind === 'telnet-banner') socket.write(Buffer.from([255, 253, 24, 255, 251, 1]));
      socket.write(`${text}\r\n`);
    });
    found.push(...(await listening(server, (port) => askBanner('127.0.0.1', port, kind, 3_000))));
  }
  const vendor = one.mac === undefined ? undefined : macVendor(one.mac, folder);
  if (one.mac !== undefined) assert.ok(vendor !== undefined, one.mac);
  return [
    ...found,
    ...evidence('mac-vendor', vendor, ''),
    ...evidence('certificate', one.certificate, 'tcp 443'),
    ...evidence('upnp', one.ssdp, 'udp 1900'),
    ...evidence('snmp-sysdescr', one.snmp, 'udp 161'),
    ...(one.description === undefined ? [] : descriptionEvidence(descriptionXml(one.description), 'tcp 80')),
  ];
}

async function listening<T>(
  server: ReturnType<typeof createServer> | ReturnType<typeof createHttpServer>,
  ask: (port: number) => Promise<T>,
): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await ask((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

describe('what a router says tells which it is, and no first guess is wrong', { concurrency: 16 }, () => {
  for (const one of announcements)
    test(one.what, async () => {
      const ranked = rankRecipes(recipes, await seenOf(one));
      const shown = ranked.slice(0, 3).map(({ recipe, score }) => `${recipe.id} ${score}`);
      assert.equal(toldApart(ranked)?.recipe.id, one.recipe, shown.join(', '));
    });
});

test('at least twenty-five vendors are told apart', () => {
  const vendors = new Set(
    announcements.flatMap(({ recipe }) => recipes.find(({ id }) => id === recipe)?.vendor ?? []),
  );
  assert.ok(vendors.size >= 25, `${vendors.size}: ${[...vendors].join(', ')}`);
});

test('only devices on the own network are asked, and names are not looked up', () => {
  for (const host of ['192.168.1.1', '10.0.0.138', '172.31.255.1', '100.64.0.1', 'fe80::1%eth0', 'fd00::1'])
    requireLocal(host, false);
  for (const host of ['8.8.8.8', '172.32.0.1', '2001:4860:4860::8888', '192.168.1.1.example', 'fritz.box'])
    assert.throws(() => requireLocal(host, false), { code: 'routers/not-allowed' });
  requireLocal('8.8.8.8', true);
  assert.throws(() => requireLocal('fritz.box', true), { code: 'routers/not-allowed' });
});

test('a MAC address that was made up belongs to nobody', () => {
  assert.match(macVendor('C0-25-06-00-00-01', folder) ?? '', /^AVM/);
  assert.equal(macVendor('02:25:06:00:00:01', folder), undefined);
  assert.equal(macVendor('', folder), undefined);
});

test('what is not XML, NAT-PMP or SNMP says nothing', () => {
  for (const text of [
    '',
    '<',
    '<root><device>',
    '<root><device/></root>',
    '<!DOCTYPE a [<!ENTITY b "c">]><root>&b;</root>',
  ])
    assert.deepEqual(descriptionEvidence(text, ''), []);
  assert.equal(portMappingText(Buffer.alloc(0)), undefined);
  assert.equal(portMappingText(Buffer.alloc(60, 1)), undefined);
  assert.equal(
    portMappingText(Buffer.from([0, 0x80, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7])),
    'NAT-PMP, external address 203.0.113.7',
  );
  assert.match(portMappingText(Buffer.from([0, 0x80, 0, 0, 0, 0, 0, 1, 100, 64, 0, 7])) ?? '', /another NAT/);
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from([0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 1, 0]),
    Buffer.from([0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 1, 0, 4, 0x84]),
  ])
    assert.ok((descriptionOf(bytes) ?? '') === '');
});

test('what the wire shows of the engine is evidence, and decides nothing alone', () => {
  const helper = evidence('engine', 'helper', 'on the wire');
  const alone = rankRecipes(recipes, helper);
  assert.ok(alone.some(({ recipe }) => recipe.id === 'linux-netfilter'));
  assert.equal(toldApart(alone), undefined);
  const titled = rankRecipes(recipes, [...helper, ...evidence('http-title', 'FortiGate', 'tcp 443')]);
  assert.equal(toldApart(titled)?.recipe.id, 'fortinet-fortigate');
  assert.deepEqual(rankRecipes(recipes, evidence('engine', 'proxy', 'on the wire')), []);
});
