import Crypto
import TensorCore

extension ArtifactFile {
  /// A part of an artifact that is not as it was written.
  public struct Damage: Sendable, Equatable {
    /// "tensor 'x'", "header", "manifest" or "seek table".
    public var part: String
    /// What is wrong with it.
    public var message: String
  }

  /// What a verified artifact holds.
  public struct VerifyReport: Sendable, Equatable {
    /// The artifact's length in bytes.
    public var bytes: Int
    /// The decoded file's length in bytes.
    public var decodedBytes: Int
    /// The number of tensors.
    public var tensorCount: Int
    /// SHA-256 of the decoded file.
    public var sha256: String
    /// The root of the Merkle tree over the tensors.
    public var merkleRoot: String
    /// Wall time.
    public var seconds: Double
  }

  /// Checks every byte of the artifact at `path`: structure, checksums, hashes, and that it says the same everywhere.
  ///
  /// - Throws: ``ModelFileError``: of `corrupt` when anything is damaged, naming the part; of `notAModel` for a file that
  ///   never was an artifact.
  @discardableResult
  public static func verify(_ path: String, progress: Progress? = nil) throws -> VerifyReport {
    let clock = ContinuousClock()
    let start = clock.now
    let (seekable, manifest, damages) = try examine(path, progress: progress)
    guard let first = damages.first, let manifest else {
      if let first = damages.first { throw corrupt(path, first, more: damages.count - 1) }
      guard let manifest else { throw notAnArtifact(path) }
      return VerifyReport(
        bytes: seekable.region.count, decodedBytes: manifest.decodedSize, tensorCount: manifest.tensors.count,
        sha256: manifest.sha256, merkleRoot: manifest.merkleRoot, seconds: (clock.now - start) / .seconds(1))
    }
    _ = manifest
    throw corrupt(path, first, more: damages.count - 1)
  }
}
