public import TensorCore

/// What a checkpoint on disk holds, in its own names and layout: nothing is interpreted yet.
public struct ModelSource: Sendable {
  /// The kinds of checkpoint that can be read.
  public enum Container: String, Sendable, CaseIterable {
    case torch, torchLegacy = "torch-legacy", safetensors, gguf, llama2c
  }

  /// The kind of file, found by content.
  public var container: Container
  /// The file or folder that the user named.
  public var path: String
  /// The files that hold tensors, in order, as paths.
  public var files: [String]
  /// The tensors, in the file's order, each name once.
  public var tensors: [StoredTensor]
  /// Names that share all of another tensor's storage (tied weights): alias → name in `tensors`.
  public var aliases: [String: String] = [:]
  /// GGUF key/value pairs in the file's order; empty for other containers.
  public var metadata: [GGUFEntry] = []
  /// The `__metadata__` of a safetensors file; empty for other containers.
  public var textMetadata: [String: String] = [:]
  /// `config.json`, or the equivalent made from a llama2.c header; nil when there is none (and for GGUF).
  public var configuration: JSONValue?
  /// Tokenizer files found beside the tensors, or named by the user.
  public var tokenizerFiles: [TokenizerFile] = []
  /// `generation_config.json`, if there.
  public var generation: JSONValue?
  /// The whole file, where the source is one GGUF or safetensors file; its tensors are slices of it.
  public var wholeFile: ByteRegion?
  /// The manifest, when the source was one of our artifacts.
  public var manifest: ArtifactManifest?
  /// Remarks for the report: "2 integer tensors left out" …
  public var notes: [String] = []

  /// A source without extras.
  public init(container: Container, path: String, files: [String], tensors: [StoredTensor]) {
    self.container = container
    self.path = path
    self.files = files
    self.tensors = tensors
  }
}

/// A tokenizer's file, unread.
public struct TokenizerFile: Sendable {
  /// Which kind of file this is.
  public enum Kind: String, Sendable {
    case sentencePiece = "tokenizer.model", json = "tokenizer.json", wordPiece = "vocab.txt"
    case llama2c = "tokenizer.bin", configuration = "tokenizer_config.json"
    case specialTokens = "special_tokens_map.json", sentenceTransformers = "modules.json"
    case pooling = "1_Pooling/config.json"
  }

  /// The kind, by content for files of free name.
  public var kind: Kind
  /// The path it was found at.
  public var path: String
  /// The whole file.
  public var contents: ByteRegion

  /// A file of `kind`.
  public init(kind: Kind, path: String, contents: ByteRegion) {
    self.kind = kind
    self.path = path
    self.contents = contents
  }
}
