import TensorCore

/// A model taken apart that can also be run backwards: gradients of the predictions by each linear layer's outputs.
///
/// One sequence at a time; a sequence's hidden states and their gradients are tokens × ``BlockwiseModel/hiddenWidth``.
package protocol GradientModel: BlockwiseModel {
  /// Goes back through one block.
  ///
  /// - Parameters:
  ///   - hidden: the block's input.
  ///   - gradient: the gradient by the block's output; replaced by that by its input.
  ///   - see: given each linear layer's canonical name and the gradient by its outputs, tokens × outputs.
  func goBack(
    throughBlock index: Int, tensors: TensorLookup, hidden: UnsafePointer<Float>, tokens: Int,
    gradient: UnsafeMutablePointer<Float>, see: (_ name: String, _ gradient: UnsafePointer<Float>) -> Void)
    throws
  /// Goes back through what ``BlockwiseModel/outputInput(hidden:tokens:tensors:into:)`` does.
  ///
  /// - Parameters:
  ///   - hidden: the last block's output.
  ///   - gradient: the gradient by the output matrix's inputs; replaced by that by `hidden`.
  func goBackThroughOutputNorm(
    tensors: TensorLookup, hidden: UnsafePointer<Float>, tokens: Int, gradient: UnsafeMutablePointer<Float>)
    throws
}
