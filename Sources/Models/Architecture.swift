public import ModelFiles
import TensorCore

/// What a tensor is for, which decides how passes treat it.
public enum TensorRole: String, Sendable, CaseIterable {
  case tokenEmbedding = "token-embedding", positionEmbedding = "position-embedding"
  case typeEmbedding = "type-embedding"
  case output
  case query, key, value, attentionOutput = "attention-output"
  case gate, up, down
  case norm, bias
  /// A matrix of an unknown architecture.
  case matrix
  case other

  /// Whether the tensor is the weight of a linear layer inside a block.
  public var isLinear: Bool {
    switch self {
    case .query, .key, .value, .attentionOutput, .gate, .up, .down, .matrix: true
    default: false
    }
  }
}

/// A family of models: what its configuration means, what its tensors are called, how it runs. One file each.
public protocol Architecture: Sendable {
  /// The values of `model_type` in `config.json` that this architecture reads.
  static var modelTypes: [String] { get }
  /// The values of `general.architecture` in GGUF files that this architecture reads.
  static var ggufNames: [String] { get }

  /// Reads and checks a Hugging Face style configuration.
  ///
  /// - Throws: ``ModelError``: `.badConfiguration` for a contradiction, `.unsupported` for a feature that is not run here.
  init(configuration: JSONValue) throws
  /// The Hugging Face style configuration that GGUF metadata and tensors describe.
  static func configuration(fromGGUF source: ModelSource) throws -> JSONValue

  /// Whether text can be generated (a decoder) or embedded (an encoder).
  var isEncoder: Bool { get }
  /// The longest sequence the model was made for.
  var contextLength: Int { get }
  /// The rows of the token embedding.
  var vocabularySize: Int { get }

  /// The canonical name of a tensor in a Hugging Face style checkpoint: wrapper prefixes are taken off or put on, and
  /// names of old library versions replaced.
  func canonicalName(of name: String) -> String
  /// The role of a tensor by its canonical name; nil for a name the architecture does not know.
  func role(of name: String) -> TensorRole?
  /// Why a tensor that checkpoints may carry is left out, by its canonical name ("a buffer, made from the
  /// configuration"); nil for anything else.
  func reasonToLeaveOut(_ name: String) -> String?

  /// The canonical name of a GGUF tensor; nil for an unknown name.
  func canonicalName(ofGGUF name: String) -> String?
  /// The GGUF name of a canonical tensor; nil for an unknown name.
  func ggufName(of name: String) -> String?
  /// For tensors whose rows GGUF stores in another order (llama's query and key): place in the GGUF file → canonical row.
  func ggufRowOrder(of name: String) -> [Int]?
  /// The metadata of a GGUF file, `general.architecture` first, tokenizer left out.
  func ggufEntries(name: String) -> [GGUFEntry]
  /// Tensors that a GGUF file holds beside the weights: tables made from the configuration.
  var ggufTables: [StoredTensor] { get }

  /// Every tensor a checkpoint must hold: canonical name → shape. Tied outputs are not listed.
  var requiredTensors: [(name: String, shape: [Int])] { get }
  /// Tensors that may be there: biases, an untied output.
  var optionalTensors: [(name: String, shape: [Int])] { get }
  /// The canonical order of all tensors that can be there.
  var tensorOrder: [String] { get }

  /// A model that runs the tensors in their stored formats.
  func makeModel(_ checkpoint: Checkpoint) throws -> RunnableModel
}

extension Architecture {
  /// The canonical names of the output matrix and of the embedding that it may be tied to; nil when there is no output.
  package var tie: (output: String, embedding: String)? {
    isEncoder ? nil : ("lm_head.weight", "model.embed_tokens.weight")
  }
}

/// The architectures, one line each.
public enum ArchitectureList {
  /// Every known architecture.
  public static let all: [any Architecture.Type] = [
    LlamaArchitecture.self,
    BertArchitecture.self,
  ]

  /// The architecture of a `model_type`.
  public static func named(_ modelType: String) -> (any Architecture.Type)? {
    all.first { $0.modelTypes.contains(modelType) }
  }

  /// The architecture of a `general.architecture`.
  public static func namedInGGUF(_ name: String) -> (any Architecture.Type)? {
    all.first { $0.ggufNames.contains(name) }
  }
}
