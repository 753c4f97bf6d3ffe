//! A network executed once on images, for any number of simulations.

use std::sync::Arc;

use rayon::prelude::*;
use skimp_memory::Reservation;
use skimp_report::records::LayerStatistics;
use skimp_sim::{LayerTrace, LayerWorkload};

use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::monitor::{Monitor, step};
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Design;
use crate::simulate::judging::judge;
use crate::simulate::layers::{NetworkLayers, SimulatedLayer};
use crate::simulate::priced::Priced;
use crate::simulate::runs::{DesignRun, Timed};
use crate::simulate::session;
use crate::simulate::shapes::ShapeLayers;
use crate::simulate::simulated::Simulated;
use crate::simulate::stream::{Seen, stream};
use crate::simulate::trace::ImageTrace;
use crate::stages::quantized::Quantized;

/// What every layer of an integer network read and computed on some images, in memory: the network has run, and designs are
/// simulated without running it again. A clone shares it.
///
/// It takes 4 bytes for each input and 8 for each sum of a layer, and 8 more where a residual is added: 0.5 MB an image for
/// the embedded network, some 145 MB for VGG-16 at 224 x 224. The memory is set aside before the network runs
/// ([`StudyError::Memory`] where the run's budget has no room), and given back with the last clone. What designs work out of
/// the values (early negative detection: the plane at which each sum is known) is kept with them, a byte or so an output.
/// [`simulate`](crate::simulate()) keeps nothing: it shows each image to all designs at once and forgets it.
#[derive(Clone, Debug)]
pub struct Traced {
    quantized: Quantized,
    images: Images,
    n_images: usize,
    layers: Arc<NetworkLayers>,
    /// The simulated layers as designs see them.
    workloads: Arc<Vec<LayerWorkload>>,
    /// Of each layer, the images in order.
    traces: Arc<Vec<Vec<Arc<ImageTrace>>>>,
    /// The same as designs see them, with what they work out of the values: once for all that are simulated.
    seen: Arc<Vec<Vec<LayerTrace>>>,
    config: LayersConfig,
    base: Arc<Priced>,
    /// The memory of `traces`.
    _memory: Arc<Reservation>,
}

impl Quantized {
    /// Runs the network on the first `n_images` images and keeps what the layers of `config` read and computed.
    ///
    /// # Errors
    /// [`StudyError::Memory`] if that does not fit; [`StudyError`] naming the node, the layer or the image.
    pub fn trace(
        &self,
        images: &Images,
        n_images: usize,
        config: &LayersConfig,
        monitor: &dyn Monitor,
    ) -> Result<Traced, StudyError> {
        self.network.check_one_step("a trace that is kept")?;
        let n_images = images.limited(n_images, "images to trace")?;
        images.note_batch(n_images, monitor);
        let warning = session::answers_warning(self, images);
        warning.iter().for_each(|warning| monitor.note(warning));
        let mut layers = NetworkLayers::of(self, images, config)?;
        let bytes = n_images as u64 * layers.simulated.iter().map(SimulatedLayer::bytes_per_image).sum::<u64>();
        let what = || format!("the traces of {n_images} images of network \"{}\"", self.network.name);
        let memory = skimp_memory::reserve(bytes, what)?;
        let mut traces = vec![Vec::with_capacity(n_images); layers.simulated.len()];
        monitor.stage("tracing layers", (n_images * layers.simulated.len()) as u64);
        let keep = |seen: &Seen<'_>| Ok(Arc::clone(seen.operands));
        stream((self, images, n_images), &mut layers.simulated, monitor, &keep, &mut |idx, operands| {
            traces[idx].push(operands);
            Ok(())
        })?;
        let base = session::base_of(self, images, n_images, &layers, warning)?;
        let seen = layers.simulated.iter().zip(&traces).map(|(layer, images)| {
            let trace = |operands: &Arc<ImageTrace>| LayerTrace::new(&layer.operands.workload, operands.clone());
            images.iter().map(trace).collect()
        });
        let seen = Arc::new(seen.collect());
        Ok(Traced {
            quantized: self.clone(),
            images: images.clone(),
            n_images,
            workloads: Arc::new(layers.simulated.iter().map(|layer| layer.operands.workload.clone()).collect()),
            layers: Arc::new(layers),
            traces: Arc::new(traces),
            seen,
            config: config.clone(),
            base: Arc::new(base),
            _memory: Arc::new(memory),
        })
    }
}

impl Traced {
    /// The integer network.
    #[must_use]
    pub fn quantized(&self) -> &Quantized {
        &self.quantized
    }

    /// Images that it ran on.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    /// Bytes that it keeps.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.n_images as u64 * self.layers.simulated.iter().map(SimulatedLayer::bytes_per_image).sum::<u64>()
    }

    /// The layers as designs see them, in order.
    pub fn layers(&self) -> impl Iterator<Item = &LayerWorkload> {
        self.workloads.iter()
    }

    /// Shape, work and densities of each layer.
    #[must_use]
    pub fn statistics(&self) -> &[LayerStatistics] {
        &self.base.layers
    }

    /// The operands of image `image` at layer `idx`, both from 0; `None` beyond them.
    #[must_use]
    pub fn trace(&self, idx: usize, image: usize) -> Option<LayerTrace> {
        let operands = self.traces.get(idx)?.get(image)?;
        Some(LayerTrace::new(&self.layers.simulated[idx].operands.workload, operands.clone()))
    }

    /// Refuses settings of layers that this network does not have.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming setting and layer.
    pub fn check(&self, design: &Design) -> Result<(), StudyError> {
        design.check_network(&self.workloads)
    }

    /// What `designs` do with the layers: the images of one layer after another, each to all designs at once, in parallel.
    ///
    /// The network does not run again, but for designs that change values or whose parameters are searched: these are judged
    /// on `accuracy_images` and fitted on `tuning_images` of the images' settings, which runs the network under their effect.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming the design's setting, or the layer that it cannot run.
    pub fn simulate(&self, designs: &[Design], monitor: &dyn Monitor) -> Result<Simulated, StudyError> {
        let layers = &self.layers.simulated;
        let mut runs: Vec<DesignRun> = designs.iter().map(|design| DesignRun::new(design, layers.len())).collect();
        let workloads = &self.workloads;
        session::check(&runs, workloads, &self.config, self.quantized.config(), monitor)?;
        judge(&self.quantized, &self.images, layers, &mut runs, monitor)?;
        monitor.stage("simulating layers", (self.n_images * layers.len()) as u64);
        session::begin(&mut runs, workloads, &self.layers.others, self.n_images)?;
        // What needs no values does the same with every image.
        let is_same: Vec<bool> = runs.iter().map(DesignRun::is_same_for_all_images).collect();
        for (idx, (workload, images)) in workloads.iter().zip(&*self.seen).enumerate() {
            for (image, trace) in images.iter().enumerate() {
                let simulate = |(run, &same): (&mut DesignRun, &bool)| match image {
                    1.. if same => Ok(()),
                    _ => run.simulate(idx, workload, Some(trace), Timed::No),
                };
                // Of several errors the first design's.
                match &mut runs[..] {
                    [run] => simulate((run, &is_same[0]))?,
                    runs => {
                        let outcomes: Vec<_> = runs.par_iter_mut().zip(&is_same).map(simulate).collect();
                        outcomes.into_iter().collect::<Result<(), _>>()?;
                    }
                }
                step(monitor, 1)?;
            }
            for (run, _) in runs.iter_mut().zip(&is_same).filter(|(_, same)| **same) {
                run.repeat(idx, images.len());
            }
        }
        let seed = self.images.config().seed.unwrap_or(0);
        let by_shape = ShapeLayers::new(&self.config.by_shape, self.quantized.config(), seed)?;
        runs.iter_mut().try_for_each(|run| run.simulate_shapes(&by_shape))?;
        Ok(Simulated::of_network(Arc::clone(&self.base), &self.layers, runs))
    }
}
