"""Certificates for a test's servers and clients, made by openssl in a folder of the test."""

import os
import subprocess


class Authority:
    """Authority(folder, "name").issue("server", "127.0.0.1") -> (certificate, key) as PEM files; .certificate is what to trust."""

    def __init__(self, folder, name):
        self.folder, self.name = str(folder), name
        self.certificate, self._key = self._path("pem"), self._path("key")
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out",
                      self.certificate)

    def _path(self, suffix, of=None):
        return os.path.join(self.folder, f"{self.name}{'-' + of if of else ''}.{suffix}")

    @staticmethod
    def _openssl(*words):
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"openssl {' '.join(words)}: {done.stderr}")

    def issue(self, name, address=None, host=None, expired=False):
        """address, host: what it is good for. expired: its day is over. Returns (certificate, key)."""
        certificate, key, request, extensions = (self._path(suffix, name) for suffix in ("pem", "key", "csr", "ext"))
        names = [f"IP:{address}"] * bool(address) + [f"DNS:{host}"] * bool(host)
        with open(extensions, "w") as f:
            f.write(f"subjectAltName={','.join(names)}\n" if names else "basicConstraints=CA:FALSE\n")
        self._openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-days", "-1" if expired else "2", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-extfile", extensions, "-out", certificate)
        return certificate, key

    def keystore(self, name, address=None, expired=False):
        """Key and certificate in one file, as Java's servers take them (PEM)."""
        certificate, key = self.issue(name, address, expired=expired)
        path = self._path("keystore.pem", name)
        with open(path, "w") as out:
            for part in (key, certificate, self.certificate):
                with open(part) as f:
                    out.write(f.read())
        return path
