import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// How long and how fast a student learns.
package struct TrainingSettings: Sendable, Equatable {
  /// How the learning rate goes down after the warm-up.
  package enum Schedule: String, Sendable, CaseIterable {
    case cosine, linear, constant
  }

  /// The steps; nil when ``minutes`` says when to stop.
  package var steps: Int?
  /// The time that training may take: how many steps that makes depends on the machine.
  package var minutes: Double?
  package var learningRate = 1e-3
  package var schedule = Schedule.cosine
  /// The tokens of a step.
  package var batchTokens = 4096
  /// Weight decay; norms and biases have none.
  package var decay = 0.1
  /// The length that gradients are clipped to.
  package var clip = 1.0
  package var loss = DistillationLoss()
  package var seed: UInt64 = 0
  /// How often the student is tested on held-out text.
  package var tests = 20
  /// The tests without a gain after which training stops.
  package var patience = 8
  /// The tokens of held-out text that it is tested on.
  package var testTokens = 8192
  /// Whether activations are made again on the way back, for less memory and a third more work.
  package var recomputes = false

  /// The weight of states inside the models beside predictions, and how they are compared.
  package var hiddenWeight = 0.0
  package var hiddenLoss = HiddenLossKind.squaredError
  /// The weight of self-attention relations beside predictions; the relation heads, and the teacher's block, counted from 1: nil for
  /// as many as divide both models' widths, up to the teacher's heads, and for the last.
  package var relationWeight = 0.0
  package var relationHeads, relationLayer: Int?
  /// The share of batches that the student writes and its teacher judges.
  package var onPolicy = 0.0
  /// Where the teacher's likeliest tokens are kept, so that it need not be in memory; nil to ask the teacher itself.
  package var teacherCache: TeacherCache?
  /// What of quantized matrices is learned.
  package var tuning = CodedWeights.Tuning.auto
  /// The learning rate of their codes, in codes a step.
  package var codeRate = 0.0075
  /// Whether forward passes of quantized students round what matrices read to 8 bits, as those that ship do.
  package var roundsActivations = false
  /// The learning rate of their scales, in parts of a scale a step.
  package var scaleRate = 1e-3
  /// The steps that rates are meant for: in longer trainings all of them fall with the root of the steps, so that what noise moves adds
  /// up to as much. Nil where they are the same for any length.
  package var steadySteps: Int?

  /// Whether products are of numbers rounded to bfloat16 where the processor multiplies such; weights, moments and sums are in
  /// single precision in any case.
  package var rounds = false

  /// The defaults, which need ``steps`` or ``minutes``.
  package init() {}

  /// Whether the processor multiplies bfloat16 numbers.
  package static var canRound: Bool { StridedProduct.canRound }

  /// What is left of the learning rate at the end.
  private static let floor = 0.1

  /// The learning rate of a step.
  ///
  /// - Parameters:
  ///   - step: counted from 0.
  ///   - progress: how much of the training is over, 0 … 1.
  package func rate(step: Int, progress: Double) -> Double {
    let warmup = steps.map { max(1, min(100, $0 / 20)) } ?? 20
    let rise = min(1, Double(step + 1) / Double(warmup))
    let left = 1 - min(1, max(0, progress))
    let fall: Double
    switch schedule {
    case .constant: fall = 1
    case .linear: fall = Self.floor + (1 - Self.floor) * left
    case .cosine: fall = Self.floor + (1 - Self.floor) * 0.5 * (1 - cos(Double.pi * left))
    }
    return learningRate * rise * fall * lengthFactor(step: step, progress: progress)
  }

  /// A training's length is what this speed promises, whether steps or time end it.
  private func lengthFactor(step: Int, progress: Double) -> Double {
    guard let steadySteps, progress > 0 else { return 1 }
    return min(1, (Double(steadySteps) * progress / Double(max(1, step))).squareRoot())
  }
}

/// Why training stopped.
package struct TrainingError: Error, Equatable, CustomStringConvertible {
  /// What is wrong and what to do.
  package var description: String

  /// A failure.
  package init(_ description: String) { self.description = description }
}

/// One point of a training's curve.
public struct TrainingPoint: Sendable, Equatable {
  /// The steps that were taken.
  public var step: Int
  /// The mean training loss since the point before; nil at the start.
  public var loss: Double?
  /// The mean KL divergence of the student from its teacher on held-out text, in nats a token; nil of an encoder.
  public var heldOutKLD: Double?
  /// The mean −ln p of held-out text's tokens; nil of an encoder.
  public var heldOutLoss: Double?
  /// The mean of 1 − cosine between the embeddings of student and teacher on held-out text; of an encoder alone.
  public var heldOutDistance: Double?
  /// The learning rate of the last step.
  public var learningRate: Double
  /// The speed since the point before, tests left out; nil at the start.
  public var tokensPerSecond: Double?

  /// A point.
  public init(
    step: Int, loss: Double?, heldOutKLD: Double?, heldOutLoss: Double?, heldOutDistance: Double? = nil,
    learningRate: Double, tokensPerSecond: Double?
  ) {
    self.step = step
    self.loss = loss
    self.heldOutKLD = heldOutKLD
    self.heldOutLoss = heldOutLoss
    self.heldOutDistance = heldOutDistance
    self.learningRate = learningRate
    self.tokensPerSecond = tokensPerSecond
  }
}
