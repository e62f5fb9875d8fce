import Crypto

/// The Merkle tree over the tensors of an artifact, in file order.
///
/// - A leaf is SHA-256 of: the byte 0; the name's length in bytes as u32 little endian, the name in UTF-8; the format's
///   name likewise ("q4_k" …: ``TensorFormat``'s raw value); the 32 bytes of the tensor's own SHA-256.
/// - A node is SHA-256 of: the byte 1; the left child's 32 bytes; the right child's 32 bytes.
/// - Each level pairs neighbours from the left; a last one without a partner moves up as it is. (The same tree as in
///   RFC 6962 §2.1.) The different first bytes keep a node from passing for a leaf.
/// - The root of no tensors is SHA-256 of nothing.
enum MerkleTree {
  /// The root over `tensors` in hexadecimal.
  ///
  /// - Precondition: each `sha256` is 64 lower-case digits; ``ArtifactManifest`` sees to it.
  static func root(of tensors: [ArtifactManifest.Tensor]) -> String {
    guard !tensors.isEmpty else { return SHA256().finalize().hexadecimal }
    var level = tensors.map(leaf)
    while level.count > 1 {
      var above: [SHA256Digest] = []
      for place in stride(from: 0, to: level.count, by: 2) {
        above.append(place + 1 < level.count ? node(level[place], level[place + 1]) : level[place])
      }
      level = above
    }
    return level[0].hexadecimal
  }

  private static func leaf(_ tensor: ArtifactManifest.Tensor) -> SHA256Digest {
    var hash = SHA256()
    hash.update(data: [0])
    for text in [tensor.name, tensor.format] {
      let bytes = Array(text.utf8)
      hash.update(data: (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) })
      hash.update(data: bytes)
    }
    hash.update(data: FileHash.bytes(ofHexadecimal: tensor.part.sha256) ?? [])
    return hash.finalize()
  }

  private static func node(_ left: SHA256Digest, _ right: SHA256Digest) -> SHA256Digest {
    var hash = SHA256()
    hash.update(data: [1])
    left.withUnsafeBytes { hash.update(bufferPointer: $0) }
    right.withUnsafeBytes { hash.update(bufferPointer: $0) }
    return hash.finalize()
  }
}
