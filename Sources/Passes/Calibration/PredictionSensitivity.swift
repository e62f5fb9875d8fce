import Foundation
import ModelFiles
import Models
import TensorCore

/// How much a model's predictions depend on each layer's outputs: the Fisher information, from gradients.
///
/// With labels drawn from the model's own predictions, the mean over tokens of g·gᵀ, g being the gradient of the labels'
/// log probabilities by a layer's outputs, is G in KL divergence ≈ ½ tr G E H Eᵀ for a small change E of the layer's
/// weights and inputs with covariance H: the Kronecker-factored approximation (arXiv 1503.05671). Everything is in nats a
/// token, so losses of different layers compare and add up.
struct PredictionSensitivity: Sendable {
  /// A layer's G.
  enum Weights: Sendable {
    /// outputs × outputs.
    case full(OutputGram)
    /// The mean of the diagonal; kept where whole matrices would take too much time and room.
    case mean(Double)
  }

  /// A whole G, at hand when it is asked for.
  struct OutputGram: Sendable {
    /// The number of outputs.
    let count: Int
    let diagonal: [Float]
    private let bytes: TensorBytes

    init(_ gram: [Float], count: Int, spill: TensorSpill) throws {
      self.count = count
      diagonal = (0..<count).map { gram[$0 * count + $0] }
      bytes = try spill.keep(
        gram.withUnsafeBytes { gram in
          ByteRegion(uninitializedCount: gram.count) { $0.copyMemory(from: gram) }
        })
    }

    /// The matrix, row by row.
    ///
    /// - Throws: ``PassError`` when the temporary file that holds it cannot be read.
    func load() throws -> [Float] {
      let region = try bytes.load()
      return [Float](unsafeUninitializedCapacity: count * count) { target, initialized in
        region.withBytes { UnsafeMutableRawBufferPointer(target).copyMemory(from: $0) }
        initialized = count * count
      }
    }
  }

  /// G of each linear layer, by canonical name.
  private(set) var layers: [String: Weights] = [:]
  /// E[x²] of each layer's inputs, by canonical name; for means alone.
  private(set) var inputSquares: [String: [Float]] = [:]
  /// E[g gᵀ] by the embedding's rows as they enter the first block, width × width.
  private(set) var embeddingGram: [Float] = []
  /// E[p (1 − p)] of each token: how much predictions depend on its logit.
  private(set) var logits: [Double] = []
  /// The part of each token among the inputs.
  private(set) var frequencies: [Double] = []

  /// The tokens that gradients are taken of, unless their hidden states take more than ``stateBytes``.
  static let mostTokens = 16384
  private static let stateBytes = 1 << 30
  /// The bytes of matrices G that are kept as a whole, in a temporary file.
  private static let matrixBytes = 1 << 30
  /// The rows of logits that are held at a time.
  private static let logitRows = 64

  /// Runs the model of `checkpoint` on some of the calibration sequences, forwards and backwards; nil when it has no
  /// gradients here.
  ///
  /// - Parameters:
  ///   - tokens: how many tokens gradients are taken of at most.
  ///   - meansOnly: whether the means of diagonals are enough.
  /// - Throws: ``PassError`` when activations are not finite.
  init?(
    _ checkpoint: Checkpoint, calibration: CalibrationSet, context: PassContext,
    tokens mostTokens: Int = PredictionSensitivity.mostTokens, meansOnly: Bool = false
  ) throws {
    guard let model = checkpoint.architecture?.blockwise as? any GradientModel, model.outputName != nil else {
      return nil
    }
    let perToken = (model.blockCount + 2) * model.hiddenWidth * 4
    let limit = max(256, min(mostTokens, Self.stateBytes / max(1, perToken)))
    let chosen = calibration.spread(tokens: limit).sequences
    guard !chosen.isEmpty else { return nil }
    var walk = GradientWalk(model, checkpoint, sequences: chosen, context: context)
    try walk.goForward(watching: meansOnly)
    inputSquares = walk.inputSquares
    let states = try walk.goBackThroughOutput(rows: Self.logitRows)
    logits = walk.logits
    frequencies = walk.frequencies
    walk.room = meansOnly ? 0 : Self.matrixBytes
    let spill = TensorSpill()
    for index in (0..<model.blockCount).reversed() {
      for (name, gram, count, isWhole) in try walk.goBack(
        block: index, gradient: states, meansOnly: meansOnly)
      {
        guard gram.allSatisfy(\.isFinite) else {
          throw PassError(
            "'\(name)': the model's gradients are not finite on calibration text; use --method rtn")
        }
        layers[name] =
          isWhole
          ? .full(try OutputGram(gram, count: count, spill: spill)) : .mean(Double(gram.first ?? 0))
      }
    }
    guard !meansOnly else { return }
    embeddingGram = walk.gram(of: states.base, columns: model.hiddenWidth, rows: walk.tokens)
  }
}
