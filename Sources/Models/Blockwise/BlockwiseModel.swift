import TensorCore

/// Linear layers of a block that read the same activations, at one place in the block.
package struct BlockStep: Sendable {
  /// The canonical names of the layers' weights.
  package let layers: [String]
  /// The length of an input.
  package let inputWidth: Int
  /// The tensors before the layers' input that a scale of its columns can be folded into, exactly: a norm's weight and
  /// bias, or the rows of the layer before; empty where nothing linear comes before.
  package let scaledBy: [String]

  package init(layers: [String], inputWidth: Int, scaledBy: [String] = []) {
    self.layers = layers
    self.inputWidth = inputWidth
    self.scaledBy = scaledBy
  }
}

/// A model taken apart: hidden states of many sequences go through one block at a time, and a block is made anew from
/// whatever tensors it is given.
///
/// A sequence's hidden states are tokens × ``hiddenWidth``; sequences lie one behind the other without padding.
package protocol BlockwiseModel: Sendable {
  /// The length of a hidden state.
  var hiddenWidth: Int { get }
  /// The number of blocks.
  var blockCount: Int { get }
  /// Whether the end of a sublayer only adds its outputs to the hidden states; false where it normalizes the sum, too.
  var addsOutputs: Bool { get }
  /// The canonical names of all tensors of a block.
  func tensorNames(ofBlock index: Int) -> [String]
  /// The block's linear layers in the order in which they run.
  func steps(ofBlock index: Int) -> [BlockStep]
  /// The canonical names of the tensors that ``embed(_:tensors:into:)`` reads.
  var embeddingNames: [String] { get }
  /// The tensor that turns final hidden states into logits, or nil for encoders.
  var outputName: String? { get }
  /// The canonical names of the tensors that ``outputInput(hidden:tokens:tensors:into:)`` reads.
  var outputNormNames: [String] { get }

  /// The first block's input for one sequence.
  func embed(_ tokens: [Int], tensors: TensorLookup, into hidden: UnsafeMutablePointer<Float>) throws
  /// The block of `tensors`.
  func makeBlock(_ index: Int, tensors: TensorLookup) throws -> any RunnableBlock
  /// The activations that the output matrix multiplies.
  func outputInput(
    hidden: UnsafePointer<Float>, tokens: Int, tensors: TensorLookup, into x: UnsafeMutablePointer<Float>
  ) throws
}

/// One block over given tensors.
package protocol RunnableBlock: Sendable {
  /// The input of a step's layers.
  ///
  /// - Parameters:
  ///   - step: counted as in ``BlockwiseModel/steps(ofBlock:)``; earlier sublayers have been finished.
  ///   - sequences: where each sequence's tokens lie in `hidden`, from 0 on without gaps.
  ///   - x: tokens × the step's input width, overwritten.
  func input(
    ofStep step: Int, hidden: UnsafePointer<Float>, sequences: [Range<Int>],
    into x: UnsafeMutablePointer<Float>)
  /// Applies the step's layer and adds what it makes to `hidden` (see ``BlockwiseModel/addsOutputs``); does nothing for steps that do not end a sublayer.
  ///
  /// - Parameter x: what ``input(ofStep:hidden:sequences:into:)`` gave.
  func finish(step: Int, x: UnsafePointer<Float>, tokens: Int, hidden: UnsafeMutablePointer<Float>)
}

extension Architecture {
  /// The model taken apart, for passes that observe it block by block.
  package var blockwise: (any BlockwiseModel)? { (self as? any BlockwiseArchitecture)?.makeBlockwise() }
}

/// An architecture whose models can be taken apart.
package protocol BlockwiseArchitecture: Architecture {
  func makeBlockwise() -> any BlockwiseModel
}
