public import ModelFiles
import TensorCore

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
  /// The width of the feed-forward layers before neurons of zeros were added; nil when none were.
  public internal(set) var feedForwardWidthBeforePadding: Int?
  /// Whether models of it may round batches of activations to bfloat16.
  var roundsActivations = false
  /// Whether a model of it may answer before its token embedding is loaded whole.
  var loadsEmbeddingLate = false
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
  /// A model of an unknown architecture, or with a feature that is not run here, keeps its own names and is not checked.
  ///
  /// - Throws: ``ModelError`` when configuration, tensors and tokenizer contradict each other; ``TokenizerError``.
  public static func load(_ source: ModelSource) throws -> Checkpoint {
    var loader = CheckpointLoader(source)
    return try loader.load()
  }

  /// The tensor of a canonical name.
  public func tensor(_ name: String) -> StoredTensor? { tensors.first { $0.name == name } }

  /// The role of a tensor; by name and shape when the architecture is unknown.
  public func role(of name: String) -> TensorRole {
    if let architecture { return architecture.role(of: name) ?? .other }
    guard let tensor = tensor(name) else { return .other }
    return Checkpoint.guessedRole(of: tensor)
  }

  /// The role of one of the tensors, without looking for it by name.
  public func role(of tensor: StoredTensor) -> TensorRole {
    guard let architecture else { return Checkpoint.guessedRole(of: tensor) }
    return architecture.role(of: tensor.name) ?? .other
  }

  /// The tensors whose weights are stored in quantized blocks already.
  public var quantizedTensorNames: [String] { tensors.filter(\.format.isQuantized).map(\.name) }

  /// The number of weights in all tensors.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.elementCount } }

  /// A model that runs these tensors in their stored formats.
  ///
  /// - Parameter activations: `f32` decodes quantized matrices to 32-bit floats first, so that nothing but the weights is
  ///   rounded: what a loader that dequantizes computes.
  /// - Parameter roundsBatches: whether batches of activations may be rounded to bfloat16 where the weights are, and those of
  ///   single tokens to half precision where weights have 16 bits: how a model is run for its text and timed, not how it is evaluated.
  /// - Parameter isStreamed: whether a large language model may have one block in memory at a time (``StreamedModel``): how
  ///   a text that is known ahead is read.
  /// - Parameter isLate: whether the token embedding may be loaded after the first token; then ``LanguageModel/failure`` is to be looked
  ///   at before what the model predicts is used.
  /// - Throws: ``ModelError`` when a tensor is missing or cannot be read as weights.
  public func makeModel(
    activations: ActivationPrecision = .int8, roundsBatches: Bool = false, isStreamed: Bool = false,
    isLate: Bool = false
  ) throws -> RunnableModel {
    guard let architecture else { return .none(reason: "unknown architecture") }
    var own = self
    if activations == .f32 {
      own.tensors = tensors.map { $0.format.isQuantized ? $0.convertedToFloat32() : $0 }
    } else {
      own.roundsActivations = roundsBatches
      own.loadsEmbeddingLate = isLate
    }
    let bytes = own.tensors.reduce(0) { $0 + $1.bytes.count }
    if isStreamed, bytes > StreamedModel.leastBytes, let streamed = try StreamedModel(own) {
      return .language(streamed)
    }
    return try architecture.makeModel(own)
  }

  /// A role for a tensor of an unknown architecture: the names of known ones where they fit, else its shape.
  static func guessedRole(of tensor: StoredTensor) -> TensorRole {
    guard tensor.format.isWeight else { return .other }
    let known = LlamaArchitecture.role(byName: tensor.name) ?? BertArchitecture.role(byName: tensor.name)
    if let known { return known }
    let name = tensor.name.lowercased()
    if tensor.shape.count < 2 { return name.hasSuffix("bias") ? .bias : .norm }
    guard tensor.shape.count == 2, tensor.shape.allSatisfy({ $0 >= 32 }) else { return .other }
    if name.contains("embed") || name.contains("wte") || name.contains("embd") {
      return name.contains("pos") ? .positionEmbedding : .tokenEmbedding
    }
    return .matrix
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
  /// The model's path; empty until it is known.
  public var path: String
  /// What is wrong, where, and what to do.
  public var message: String
  /// One line: where, what, and what to do.
  public var description: String { path.isEmpty ? message : "\(path): \(message)" }

  /// A failure in the model at `path`.
  public init(_ reason: Reason, _ path: String, _ message: String) {
    self.reason = reason
    self.path = path
    self.message = message
  }
}
