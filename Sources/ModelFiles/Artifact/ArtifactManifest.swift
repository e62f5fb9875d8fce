/// What an artifact says about itself, in a skippable zstd frame behind the data.
public struct ArtifactManifest: Sendable, Equatable {
  /// The version of the manifest's layout.
  public static let currentVersion = 1

  /// One tensor: where its bytes lie in the decoded file, and their hash.
  public struct Tensor: Sendable, Equatable {
    /// The name in the decoded file.
    public var name: String
    /// The format's name.
    public var format: String
    /// The first byte in the decoded file.
    public var offset: Int
    /// The number of bytes.
    public var count: Int
    /// SHA-256 of those bytes, in lower-case hexadecimal.
    public var sha256: String
  }

  /// The layout's version.
  public var version = ArtifactManifest.currentVersion
  /// "gguf" or "safetensors".
  public var container: String
  /// The decoded file's length.
  public var decodedSize: Int
  /// SHA-256 of the whole decoded file.
  public var sha256: String
  /// The root of the Merkle tree over the tensors' hashes, in order.
  public var merkleRoot: String
  /// The tensors in file order.
  public var tensors: [Tensor]
  /// SHA-256 of each of the source's files: name → hash.
  public var source: [String: String]
  /// The resolved recipe as JSON, and the stage's place in it.
  public var recipe: JSONValue
  /// The version of `compress` that wrote it.
  public var toolVersion: String
}
