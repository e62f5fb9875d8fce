public import ModelFiles
public import TensorCore

/// A model in canonical terms, whatever file it came from: Hugging Face tensor names, row order and configuration.
///
/// The same weights read from any container give equal checkpoints.
public struct Checkpoint: Sendable {
  /// A short name for folders and reports.
  public var name: String
  /// The architecture, or nil when it is unknown and only data-free passes apply.
  public var architecture: (any Architecture)?
  /// The configuration, as in `config.json`.
  public var configuration: JSONValue
  /// The tensors under canonical names in canonical order; a tied output is stored once, as the embedding.
  public var tensors: [StoredTensor]
  /// Whether the output matrix is the token embedding.
  public var isTied: Bool
  /// The tokenizer, if there is one.
  public var tokenizer: (any Tokenizer)?
  /// Where it came from.
  public var source: ModelSource
  /// Remarks for the report.
  public var notes: [String]

  /// A checkpoint of these parts.
  public init(
    name: String, architecture: (any Architecture)?, configuration: JSONValue, tensors: [StoredTensor],
    isTied: Bool, tokenizer: (any Tokenizer)?, source: ModelSource, notes: [String] = []
  ) {
    self.name = name
    self.architecture = architecture
    self.configuration = configuration
    self.tensors = tensors
    self.isTied = isTied
    self.tokenizer = tokenizer
    self.source = source
    self.notes = notes
  }

  /// Interprets `source`: finds the architecture, renames and reorders the tensors, ties equal outputs, reads the tokenizer,
  /// and checks every shape against the configuration.
  ///
  /// - Throws: ``ModelError`` when configuration, tensors and tokenizer contradict each other.
  public static func load(_ source: ModelSource) throws -> Checkpoint {
    throw ModelError(.unsupported, source.path, "no importer yet")
  }

  /// The role of a tensor; ``TensorRole/matrix`` or `.other` by shape when the architecture is unknown.
  public func role(of name: String) -> TensorRole { architecture?.role(of: name) ?? .other }

  /// The checkpoint as the contents of a GGUF file: metadata with the tokenizer, and tensors in GGUF names and row order.
  public func ggufContents() throws -> (metadata: [GGUFEntry], tensors: [StoredTensor]) { ([], []) }

  /// A model that runs these tensors in their stored formats.
  public func makeModel() throws -> RunnableModel {
    guard let architecture else { return .none(reason: "unknown architecture") }
    return try architecture.makeModel(self)
  }
}

/// Why a model's parts do not fit together.
public struct ModelError: Error, Equatable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Reason: String, Sendable {
    case badConfiguration, missingTensor, wrongShape, tokenizerMismatch, nonFinite, unsupported
  }
  /// The kind.
  public var reason: Reason
  /// The model's path.
  public var path: String
  /// What is wrong, where, and what to do.
  public var message: String
  public var description: String { "\(path): \(message)" }

  /// A failure in the model at `path`.
  public init(_ reason: Reason, _ path: String, _ message: String) {
    self.reason = reason
    self.path = path
    self.message = message
  }
}
