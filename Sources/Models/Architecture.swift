public import ModelFiles
public import TensorCore

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
  init(configuration: JSONValue) throws
  /// The Hugging Face style configuration that GGUF metadata and tensors describe.
  static func configuration(fromGGUF source: ModelSource) throws -> JSONValue

  /// Whether text can be generated (a decoder) or embedded (an encoder).
  var isEncoder: Bool { get }
  /// The longest sequence the model was made for.
  var contextLength: Int { get }

  /// The role of a tensor by its canonical name (the Hugging Face name without a `model.`/`bert.` wrapper prefix that
  /// this architecture documents); nil for a name the architecture does not know.
  func role(of name: String) -> TensorRole?
  /// The canonical name and, for a GGUF tensor whose rows are stored in another order, the row order; nil for an unknown name.
  func canonicalName(ofGGUF name: String) -> String?
  /// The GGUF name of a canonical tensor; nil for an unknown name.
  func ggufName(of name: String) -> String?
  /// For tensors whose rows GGUF stores in another order (llama's query and key): place in the GGUF file → canonical row.
  func ggufRowOrder(of name: String) -> [Int]?
  /// The metadata of a GGUF file, `general.architecture` first, tokenizer left out.
  func ggufEntries(name: String) -> [GGUFEntry]

  /// Every tensor a checkpoint must hold: canonical name → shape. Tied outputs are not listed.
  var requiredTensors: [(name: String, shape: [Int])] { get }
  /// Tensors that may be there: biases, an untied output.
  var optionalTensors: [(name: String, shape: [Int])] { get }

  /// A model that runs the tensors in their stored formats.
  func makeModel(_ checkpoint: Checkpoint) throws -> RunnableModel
}

/// The architectures, one line each.
public enum ArchitectureList {
  /// Every known architecture.
  public static let all: [any Architecture.Type] = []
}
