public import TensorCore

/// How large bytes become in an artifact, for passes that aim at a size.
public enum PackedSize {
  /// The bytes that zstd frames of `bytes` take, cut as an artifact cuts them.
  ///
  /// - Throws: ``ModelFileError`` when zstd fails.
  public static func of(_ bytes: ByteRegion, level: Int = ArtifactFile.defaultLevel) throws -> Int {
    let pieces = (bytes.count + ArtifactFile.frameSize - 1) / ArtifactFile.frameSize
    let compressor = ZstdCompressor(level: level)
    let sizes = Locked([Int](repeating: 0, count: pieces))
    try Parallel.forEachThrowing(pieces) { piece in
      let range = piece * ArtifactFile.frameSize..<min(bytes.count, (piece + 1) * ArtifactFile.frameSize)
      do {
        let count = try compressor.frame(of: bytes.slice(range).buffer).count
        sizes.withLock { $0[piece] = count }
      } catch let error as Zstd.Failure {
        throw ModelFileError(.system, path: "", "zstd cannot compress: \(error)")
      }
    }
    return sizes.withLock { $0.reduce(0, +) }
  }
}
