/// Artifacts: a standard GGUF or safetensors file in zstd's seekable format.
///
/// ```
/// frames of the container's header          zstd frames with size and checksum, each decoding to 1 MiB at most
/// frames of tensor 0, its padding           …
/// manifest                                  skippable frame, see ArtifactManifest
/// seek table                                skippable frame, see SeekTable
/// ```
/// No frame holds bytes of two parts, so a tensor can be decoded, checked or replaced alone. `zstd -d` skips the last
/// two and gives exactly the standard file.
public enum ArtifactFile {
  /// The zstd level unless told otherwise.
  ///
  /// Measured on tensors of real models (size after / before at level 1, 3, 9, 19): Q4_K .978 .978 .978 .979, Q8_0 .963
  /// .964 .963 .964, Q6_K .999 .999 .999 .997, BF16 .780 .780 .780 .780, F32 .916 .915 .913 .914. All it can find in
  /// weights is in their bytes' frequencies, which level 1 codes as well as 19 does, 50 to 100 times as fast.
  public static let defaultLevel = 1

  /// The most bytes that a frame decodes to: small enough to decode a tensor on all cores and to bound memory, and
  /// within 0.1 % of the size that 4 MiB gives.
  static let frameSize = 1 << 20

  /// What writing an artifact gave.
  public struct Summary: Sendable, Equatable {
    /// The artifact's length in bytes.
    public var bytes: Int
    /// The decoded file's length in bytes.
    public var decodedBytes: Int
    /// The root of the Merkle tree over the tensors.
    public var merkleRoot: String
    /// SHA-256 of the decoded file.
    public var sha256: String
    /// Wall time.
    public var seconds: Double
  }

  /// Told of progress: bytes of the decoded file that are done, and all of them.
  public typealias Progress = @Sendable (_ done: Int, _ total: Int) -> Void
}
