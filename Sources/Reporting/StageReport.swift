public import Evaluation
public import ModelFiles
public import Passes

/// Everything one stage of a run did and cost: the contents of `report.json` and `report.md`.
///
/// Holds no wall-clock date, so that equal runs differ only in measured times.
public struct StageReport: Sendable, Equatable {
  /// The stage's place in the run; 0 is the baseline.
  public var index: Int
  /// Its short name: "baseline", "int4".
  public var name: String
  /// What the pass did, for people: "Q4_K, embeddings Q6_K, norms F32".
  public var pass: String
  /// The resolved recipe of the pass; null for the baseline.
  public var recipe: JSONValue
  /// The packed file, as it ships.
  public var artifact: ArtifactReport
  /// Sizes, from which rates and ratios follow.
  public var size: SizeReport
  /// The tensors, in file order.
  public var tensors: [TensorReport]
  /// What was measured on text.
  public var evaluation: EvaluationReport
  /// Whether the stage keeps within the run's budget; nil for the baseline, and without one.
  public var budget: BudgetVerdict?
  /// What the pass observed the model on; nil when it did not.
  public var calibration: CalibrationSummary?
  /// What training came to; nil when the pass did not train.
  public var training: TrainingReport?
  /// What single predictions look like; nil where nothing was evaluated, and for encoders.
  public var tokens: TokenReport?
  /// How weights and codes of the tensors with the largest errors are distributed, the worst first.
  public var distributions: [TensorDistribution] = []
  /// Speed; nil when it was not measured.
  public var latency: LatencyMetrics?
  /// What pruned matrices take; nil when none is stored as such.
  public var sparsity: SparsityReport?
  /// Whether pruning was worth it; nil where nothing was pruned, and before the last stage.
  public var frontier: FrontierVerdict?
  /// Remarks.
  public var notes: [String]
  /// Remarks that the user should act on.
  public var warnings: [String]
  /// What it takes to do it again.
  public var run: RunContext

  /// A report of these parts.
  public init(
    index: Int, name: String, pass: String, recipe: JSONValue = .null, artifact: ArtifactReport,
    size: SizeReport,
    tensors: [TensorReport], evaluation: EvaluationReport, budget: BudgetVerdict? = nil,
    calibration: CalibrationSummary? = nil, training: TrainingReport? = nil, tokens: TokenReport? = nil,
    latency: LatencyMetrics? = nil, notes: [String] = [], warnings: [String] = [], run: RunContext
  ) {
    self.index = index
    self.name = name
    self.pass = pass
    self.recipe = recipe
    self.artifact = artifact
    self.size = size
    self.tensors = tensors
    self.evaluation = evaluation
    self.budget = budget
    self.calibration = calibration
    self.training = training
    self.tokens = tokens
    self.latency = latency
    self.notes = notes
    self.warnings = warnings
    self.run = run
  }
}

/// The packed file of a stage.
public struct ArtifactReport: Sendable, Equatable {
  /// The file's name, beside the report.
  public var file: String
  /// What `zstd -d` makes of it: "gguf" or "safetensors".
  public var container: String
  /// SHA-256 of the packed file.
  public var sha256: String
  /// The Merkle root over the tensors' hashes.
  public var merkleRoot: String

  /// An artifact of these parts.
  public init(file: String, container: String, sha256: String, merkleRoot: String) {
    self.file = file
    self.container = container
    self.sha256 = sha256
    self.merkleRoot = merkleRoot
  }
}

/// The sizes of a stage, in bytes and weights.
public struct SizeReport: Sendable, Equatable {
  /// The artifact.
  public var packedBytes: Int
  /// The artifact unpacked: a whole GGUF or safetensors file.
  public var decodedBytes: Int
  /// The tensors of the unpacked file alone.
  public var tensorBytes: Int
  /// The number of weights, tied ones once.
  public var parameters: Int
  /// The artifact of stage 0; nil in stage 0 of a run without one.
  public var baselinePackedBytes: Int?
  /// The files that the user gave.
  public var sourceBytes: Int

  /// Sizes of these parts.
  public init(
    packedBytes: Int, decodedBytes: Int, tensorBytes: Int, parameters: Int, baselinePackedBytes: Int?,
    sourceBytes: Int
  ) {
    self.packedBytes = packedBytes
    self.decodedBytes = decodedBytes
    self.tensorBytes = tensorBytes
    self.parameters = parameters
    self.baselinePackedBytes = baselinePackedBytes
    self.sourceBytes = sourceBytes
  }

  /// Bits of the artifact for each weight: everything counts, vocabulary and metadata too.
  public var packedBitsPerWeight: Double { bits(packedBytes) }
  /// Bits of stored tensors for each weight, as llama.cpp counts.
  public var decodedBitsPerWeight: Double { bits(tensorBytes) }
  /// How many times smaller the artifact is than that of stage 0.
  public var ratioToBaseline: Double? { baselinePackedBytes.flatMap { ratio($0) } }
  /// How many times smaller the artifact is than the source files.
  public var ratioToSource: Double? { ratio(sourceBytes) }

  private func bits(_ bytes: Int) -> Double { parameters > 0 ? Double(bytes) * 8 / Double(parameters) : 0 }
  private func ratio(_ bytes: Int) -> Double? { packedBytes > 0 ? Double(bytes) / Double(packedBytes) : nil }
}

/// One tensor of a stage.
public struct TensorReport: Sendable, Equatable {
  /// The name in the artifact.
  public var name: String
  /// What it is for: a `TensorRole`'s name.
  public var role: String
  /// The sizes, outermost first.
  public var shape: [Int]
  /// How it is stored: "q4_k".
  public var format: String
  /// The stored bytes.
  public var bytes: Int
  /// ‖w − w₀‖² / ‖w₀‖² against the baseline's tensor; nil when it was not compared.
  public var relativeSquaredError: Double?
  /// How it was rounded; nil where the pass chose between no methods.
  public var outcome: TensorOutcome?
  /// Why it was treated differently, if it was: "rows of 172 do not divide by 256".
  public var note: String?

  /// A tensor of these parts.
  public init(
    name: String, role: String, shape: [Int], format: String, bytes: Int, relativeSquaredError: Double? = nil,
    outcome: TensorOutcome? = nil, note: String? = nil
  ) {
    self.name = name
    self.role = role
    self.shape = shape
    self.format = format
    self.bytes = bytes
    self.relativeSquaredError = relativeSquaredError
    self.outcome = outcome
    self.note = note
  }
}

/// What a stage was measured to be worth, and how.
public enum EvaluationReport: Sendable, Equatable {
  /// Of a language model.
  case language(LanguageMetrics, method: LanguageMethod)
  /// Of an encoder.
  case encoder(EncoderMetrics, method: EncoderMethod)
  /// Nothing, and why: "unknown architecture".
  case none(reason: String)
}

/// How language metrics were taken: figures with different methods must not be compared.
public struct LanguageMethod: Sendable, Equatable {
  /// The text's name.
  public var text: String
  /// Its SHA-256.
  public var textHash: String
  /// Its tokens.
  public var textTokens: Int
  /// The tokens of a chunk.
  public var context: Int
  /// Whether all predictions are scored, not only those of each chunk's second half.
  public var fromStart: Bool
  /// Whether each chunk begins with BOS.
  public var addsBeginningOfText: Bool
  /// Whether each document was cut by itself.
  public var isDocuments: Bool
  /// Whether a limit took chunks from all over the text, not its first ones.
  public var isSpread: Bool
  /// What activations became before they met quantized weights: "int8" or "f32".
  public var activations = "int8"

  /// A method of these parts.
  public init(
    text: String, textHash: String, textTokens: Int, context: Int, fromStart: Bool, addsBeginningOfText: Bool,
    isDocuments: Bool, isSpread: Bool = false
  ) {
    self.text = text
    self.textHash = textHash
    self.textTokens = textTokens
    self.context = context
    self.fromStart = fromStart
    self.addsBeginningOfText = addsBeginningOfText
    self.isDocuments = isDocuments
    self.isSpread = isSpread
  }

  /// The method that made `chunks`.
  public init(_ chunks: EvaluationChunks) {
    self.init(
      text: chunks.textName, textHash: chunks.textHash, textTokens: chunks.textTokens,
      context: chunks.context,
      fromStart: chunks.fromStart, addsBeginningOfText: chunks.addsBeginningOfText,
      isDocuments: chunks.isDocuments, isSpread: chunks.isSpread)
  }
}

/// How encoder metrics were taken.
public struct EncoderMethod: Sendable, Equatable {
  /// The text's name.
  public var text: String
  /// Its SHA-256.
  public var textHash: String
  /// The longest sequence; longer ones were cut, the last token kept.
  public var context: Int
  /// The samples of the bootstrap.
  public var resamples: Int
  /// The seed of the bootstrap.
  public var seed: Int
  /// What activations became before they met quantized weights: "int8" or "f32".
  public var activations = "int8"

  /// A method of these parts.
  public init(text: String, textHash: String, context: Int, resamples: Int, seed: Int) {
    self.text = text
    self.textHash = textHash
    self.context = context
    self.resamples = resamples
    self.seed = seed
  }

  /// The method of an evaluation on `text`.
  public init(_ text: EncoderText, context: Int, bootstrap: Bootstrap) {
    self.init(
      text: text.name, textHash: text.sha256, context: context, resamples: bootstrap.resamples,
      seed: Int(clamping: bootstrap.seed))
  }
}

/// What pruned matrices take in an artifact, beside the least that a mask and values by their frequencies take.
public struct SparsityReport: Sendable, Equatable {
  /// The matrices that are stored as a mask and values.
  public var matrices: Int
  /// Their weights.
  public var weights: Int
  /// Those that are not zero.
  public var kept: Int
  /// The bytes of their frames.
  public var packedBytes: Int
  /// The entropy of their masks, in bytes.
  public var maskBytes: Double
  /// The entropy of their values and scales, in bytes.
  public var valueBytes: Double

  /// A report of these parts.
  public init(
    matrices: Int, weights: Int, kept: Int, packedBytes: Int, maskBytes: Double, valueBytes: Double
  ) {
    self.matrices = matrices
    self.weights = weights
    self.kept = kept
    self.packedBytes = packedBytes
    self.maskBytes = maskBytes
    self.valueBytes = valueBytes
  }

  /// The share of zeros.
  public var sparsity: Double { weights == 0 ? 0 : 1 - Double(kept) / Double(weights) }
  /// Stored bytes over the entropy, less one.
  public var excess: Double {
    let least = maskBytes + valueBytes
    return least > 0 ? Double(packedBytes) / least - 1 : 0
  }

  /// "50.0 % zeros in 28 matrices: 2.31 MB, 0.9 % above the entropy of masks (0.6 MB) and values (1.7 MB)".
  public var text: String {
    "\(NumberFormat.fixed(sparsity * 100, 1)) % zeros in \(matrices) matrices, stored as masks and values in "
      + "\(NumberFormat.bytes(packedBytes)): \(NumberFormat.fixed(excess * 100, 1)) % above the entropy of masks "
      + "(\(NumberFormat.bytes(Int(maskBytes)))) and values (\(NumberFormat.bytes(Int(valueBytes))))"
  }
}
