import Models
import TensorCore

/// How a student's weights hang on the numbers that are learned: the numbers themselves, or codes and scales.
protocol WeightForm: AnyObject {
  /// What is learned. It begins as the weights' own layout does, so gradients by weights become those by parameters in place.
  var layout: ParameterLayout { get }
  /// The parameters at the start.
  func start() throws -> NumberBuffer<Float>
  /// The weights that a forward pass uses; valid until the next call.
  func weights(of parameters: NumberBuffer<Float>) -> NumberBuffer<Float>
  /// Makes gradients by weights those by parameters.
  func pull(_ gradients: NumberBuffer<Float>, at parameters: NumberBuffer<Float>)
  /// The parameters as they will be stored.
  func settled(_ parameters: NumberBuffer<Float>) -> NumberBuffer<Float>
  /// The student with settled parameters.
  func storing(_ parameters: NumberBuffer<Float>, in checkpoint: Checkpoint) throws -> Checkpoint
}

/// Weights that are learned as they are.
final class PlainWeights: WeightForm {
  let layout: ParameterLayout
  private let checkpoint: Checkpoint

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
    layout = ParameterLayout(checkpoint)
  }

  func start() throws -> NumberBuffer<Float> { try layout.weights(of: checkpoint) }
  func weights(of parameters: NumberBuffer<Float>) -> NumberBuffer<Float> { parameters }
  func pull(_ gradients: NumberBuffer<Float>, at parameters: NumberBuffer<Float>) {}
  func settled(_ parameters: NumberBuffer<Float>) -> NumberBuffer<Float> { layout.rounded(parameters) }
  func storing(_ parameters: NumberBuffer<Float>, in checkpoint: Checkpoint) throws -> Checkpoint {
    try layout.storing(parameters, in: checkpoint)
  }
}
