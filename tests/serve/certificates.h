// SPDX-License-Identifier: MIT
// Certificates made for one test: an authority, a server's for 127.0.0.1 that it vouches for, and keys.
#pragma once

#include "temporary_folder.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace bulkhead::testing {

class Certificates {
 public:
  Certificates() {
    const auto authority_key = Key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto server_key = Key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto authority = certificate("authority", 1, *authority_key, nullptr, *authority_key);
    const auto server = certificate("server", 2, *server_key, authority.get(), *authority_key);
    write("authority.pem", pem_of(*authority));
    write("chain.pem", pem_of(*server) + pem_of(*authority));
    write("key.pem", pem_of(*server_key, {}));
    write("locked.pem", pem_of(*server_key, "a password"));
    write("other.pem", pem_of(*authority_key, {}));
    const auto rsa_key = Key(EVP_RSA_gen(2048), EVP_PKEY_free);
    write("rsa.pem", pem_of(*rsa_key, {}));
    write("text.pem", "no key at all\n");
  }

  // authority.pem, chain.pem, key.pem; of another pair: other.pem, rsa.pem; locked.pem has a password.
  [[nodiscard]] std::string file(const std::string& name) const { return (folder_ / name).string(); }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

  static void check(bool right) {
    if (!right) std::abort();
  }

  static void extend(X509& made, X509* issuer, int what, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer == nullptr ? &made : issuer, &made, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value);
    check(extension != nullptr && X509_add_ext(&made, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }

  // `issuer`: none: it vouches for itself.
  static Certificate certificate(const std::string& name, long number, EVP_PKEY& key, X509* issuer, EVP_PKEY& signer) {
    Certificate made(X509_new(), X509_free);
    check(X509_set_version(made.get(), X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), number);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 24 * 3600);
    check(X509_set_pubkey(made.get(), &key) == 1);
    const auto* bytes = reinterpret_cast<const unsigned char*>(name.c_str());
    X509_NAME* subject = X509_get_subject_name(made.get());
    check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, bytes, -1, -1, 0) == 1);
    check(X509_set_issuer_name(made.get(), issuer == nullptr ? subject : X509_get_subject_name(issuer)) == 1);
    extend(*made, issuer, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (issuer != nullptr) extend(*made, issuer, NID_subject_alt_name, "IP:127.0.0.1");
    check(X509_sign(made.get(), &signer, EVP_sha256()) > 0);
    return made;
  }

  static std::string text_of(BIO* memory) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(memory, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(memory);
    return text;
  }

  static std::string pem_of(X509& certificate) {
    BIO* memory = BIO_new(BIO_s_mem());
    check(PEM_write_bio_X509(memory, &certificate) == 1);
    return text_of(memory);
  }

  static std::string pem_of(EVP_PKEY& key, const std::string& password) {
    BIO* memory = BIO_new(BIO_s_mem());
    const auto* bytes = reinterpret_cast<const unsigned char*>(password.data());
    const bool locked = !password.empty();
    check(PEM_write_bio_PrivateKey(memory, &key, locked ? EVP_aes_256_cbc() : nullptr, locked ? bytes : nullptr,
                                   static_cast<int>(password.size()), nullptr, nullptr) == 1);
    return text_of(memory);
  }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  TemporaryFolder folder_;
};

}  // namespace bulkhead::testing
