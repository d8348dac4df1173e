"""Asks for a certificate as Istio's agent does: CreateCertificate over TLS, with a bearer token.

Prints the chain, or `refused: CODE details`. The two messages are simple enough to write by hand.
"""

import sys

import grpc

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


def varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def request(csr, seconds):
    """Field 1: the CSR in PEM. Field 3: the lifetime in seconds."""
    return b"\x0a" + varint(len(csr)) + csr + b"\x18" + varint(seconds)


def chain(response):
    """Field 1, repeated: certificates in PEM."""
    at = 0
    while at < len(response):
        assert response[at] == 0x0A, f"unexpected tag {response[at]:#x}"
        at, shift, length = at + 1, 0, 0
        while True:
            length |= (response[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if response[at - 1] < 0x80:
                break
        yield response[at : at + length].decode()
        at += length


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    address, root, csr, token = sys.argv[1:5]
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(read(root))) as channel:
        call = channel.unary_unary(METHOD)
        try:
            response = call(request(read(csr), 3600), metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            print("refused:", error.code().name, error.details())
            return
    for certificate in chain(response):
        print(certificate)


main()
