package import Models
import TensorCore

/// What a trainer teaches: the gradient of some documents, and a test on text that is not learned from.
protocol TrainingTask: AnyObject {
  /// The documents that are learned from.
  var documents: [[Int]] { get }
  /// The mean loss of some of the documents, or of texts that go on from them; its gradient goes into `gradients`.
  ///
  /// - Parameter number: the steps before this one.
  func step(
    _ places: [Int], number: Int, weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) -> Double
  /// What is learned besides the student's weights; nil for nothing.
  var projections: LearnedProjections? { get }
  /// What a test finds.
  func test(_ weights: NumberBuffer<Float>) -> HeldOutResult
}

/// What a test on held-out text found.
struct HeldOutResult {
  /// The mean KL divergence from the teacher, and the mean −ln p of the text: of a language model, in nats a token.
  var divergence, crossEntropy: Double?
  /// The mean of 1 − cosine between the student's and the teacher's embeddings: of an encoder.
  var distance: Double?
  /// What training makes smaller, the one of them that decides.
  var value: Double
}
